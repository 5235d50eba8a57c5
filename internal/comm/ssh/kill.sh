# Ends the processes of one command: $1=$2 is the assignment that marks them.
# Needs nothing but a POSIX shell and /proc, or ps where there is no /proc.
# Prints "ended N".
#
# It must never touch anything else, whoever runs it. A process is only looked
# at if the SSH server of this very connection started it, or if its session
# has lost its leader; it is only taken if it carries the whole mark itself;
# and only its session and its descendants go with it.
mark=$1=$2
[ "${#2}" -ge 16 ] || exit 2
own=$$
server=$PPID
proc=
[ -r /proc/self/environ ] && proc=1

# list prints pid, parent, session and start time of every process that is no
# zombie and no thread of the kernel. Without /proc there are process groups in
# place of sessions, and no start times.
list() {
	if [ "$proc" ]; then
		for f in /proc/[0-9]*/stat; do
			IFS= read -r l <"$f" || continue
			p=${l%% *}
			set -- ${l##*) }
			[ "$1" = Z ] || [ "$4" = 0 ] || echo "$p $2 $4 ${20}"
		done 2>/dev/null
	else
		ps -A -o pid= -o ppid= -o pgid= -o stat= | while read -r p pp g s; do
			case $s in Z*) ;; *) echo "$p $pp $g 0" ;; esac
		done
	fi
}

# marked says whether process $1 has the mark in its command line or its
# environment; without /proc only the command line can be asked for portably.
marked() {
	if [ "$proc" ]; then
		for f in /proc/"$1"/cmdline /proc/"$1"/environ; do
			while IFS= read -r l || [ -n "$l" ]; do
				case $l in *"$mark"*) return 0 ;; esac
			done <"$f"
		done 2>/dev/null
		return 1
	fi
	case $(ps -ww -o command= -p "$1") in *"$mark"*) return 0 ;; esac
	return 1
}

# candidate says whether process $1 with parent $2 and session $3 may be one
# that the server started for the command, or what such a one has left.
candidate() {
	[ "$1" -gt 1 ] && [ "$1" != "$own" ] && [ "$1" != "$server" ] && [ "$3" != "$own" ] || return 1
	[ "$2" = "$server" ] && return 0
	[ "$proc" ] || return 1
	case $pids in *" $3 "*) return 1 ;; esac
}

# find sets found to the command's processes.
find() {
	all=$(list)
	pids=" "
	while read -r p pp s at; do pids="$pids$p "; done <<END
$all
END
	found=" "
	sessions=" "
	while read -r p pp s at; do
		candidate "$p" "$pp" "$s" && marked "$p" || continue
		found="$found$p "
		# A session is all ours if the process leads it, or if its leader,
		# who was ours, is gone.
		case $pids in
		*" $s "*) [ "$p" != "$s" ] || sessions="$sessions$s " ;;
		*) sessions="$sessions$s " ;;
		esac
	done <<END
$all
END
	more=1
	while [ "$more" ]; do
		more=
		while read -r p pp s at; do
			[ "$p" != "$own" ] && [ "$p" != "$server" ] && [ "$p" != 1 ] || continue
			case $found in *" $p "*) continue ;; esac
			case $found in
			*" $pp "*) ;;
			*) case $sessions in *" $s "*) ;; *) continue ;; esac ;;
			esac
			found="$found$p "
			more=1
		done <<END
$all
END
	done
}

# signal sends $1 to the processes $2, as root where that is needed and allowed.
signal() {
	rest=
	for p in $2; do
		kill -"$1" "$p" 2>/dev/null || rest="$rest $p"
	done
	living=
	for p in $rest; do
		if [ -d "/proc/$p" ] || { [ -z "$proc" ] && ps -p "$p" >/dev/null; }; then living="$living $p"; fi
	done
	# shellcheck disable=SC2086
	[ -z "$living" ] || sudo -n kill -"$1" $living 2>/dev/null
}

# left sets remaining to the victims that are still there: the same process,
# not another one with its id.
left() {
	remaining=
	all=$(list)
	while read -r p pp s at; do
		case " $victims " in *" $p@$at "*) remaining="$remaining $p" ;; esac
	done <<END
$all
END
	[ "$remaining" ]
}

# gather adds what find finds to the victims and sends TERM to the new ones.
gather() {
	find
	new=
	while read -r p pp s at; do
		case $found in *" $p "*) ;; *) continue ;; esac
		case " $victims " in *" $p@$at "*) continue ;; esac
		new="$new $p"
		victims="$victims $p@$at"
	done <<END
$all
END
	[ -z "$new" ] || signal TERM "$new"
}

nap() { sleep 0.1 2>/dev/null || sleep 1; }

victims=
n=0
# A command that was started this instant may not have its mark yet.
until gather; [ "$victims" ]; do
	n=$((n + 1))
	[ "$n" -lt 10 ] || { echo "ended 0"; exit 1; }
	nap
done
n=0
while left && [ "$n" -lt 30 ]; do
	[ "$n" -lt 10 ] || signal KILL "$remaining"
	nap
	n=$((n + 1))
	gather
done
# shellcheck disable=SC2086
set -- $victims
echo "ended $#"
