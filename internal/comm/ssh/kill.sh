# Ends the processes of one command: $1=$2 is the text in their command line or
# environment that marks them. Needs nothing but a POSIX shell and /proc, or ps
# where there is no /proc. Prints "ended N".
mark=$1=$2
own=$$
server=$PPID
proc=
[ -r /proc/self/stat ] && proc=1

# list prints pid, parent and session of every process that is no zombie and
# no thread of the kernel.
list() {
	if [ "$proc" ]; then
		for f in /proc/[0-9]*/stat; do
			IFS= read -r l <"$f" || continue
			p=${l%% *}
			set -- ${l##*) }
			[ "$1" = Z ] || [ "$4" = 0 ] || echo "$p $2 $4"
		done 2>/dev/null
	else
		ps -A -o pid= -o ppid= -o pgid= -o stat= | while read -r p pp g s; do
			case $s in Z*) ;; *) echo "$p $pp $g" ;; esac
		done
	fi
}

# marked says whether process $1 has the mark.
marked() {
	if [ "$proc" ]; then
		for f in /proc/"$1"/cmdline /proc/"$1"/environ; do
			while IFS= read -r l || [ -n "$l" ]; do
				case $l in *"$mark"*) return 0 ;; esac
			done <"$f"
		done 2>/dev/null
	else
		case $(ps -ww -o command= -p "$1"; ps -wwE -o command= -p "$1" 2>/dev/null || ps -wwe -o command= -p "$1") in
		*"$mark"*) return 0 ;;
		esac
	fi
	return 1
}

# find sets found to the command's processes: the shell that the SSH server
# started for it, which leads a session; all of that session; and all
# descendants. Where the shell has ended already, its session has no leader any
# more and the rest of it is looked at one by one.
find() {
	all=$(list)
	pids=" "
	while read -r p pp s; do pids="$pids$p "; done <<END
$all
END
	found=" "
	sessions=" "
	while read -r p pp s; do
		[ "$s" = "$own" ] || [ "$p" = "$own" ] && continue
		case $pids in
		*" $s "*) [ "$pp" = "$server" ] || continue ;;
		esac
		marked "$p" || continue
		found="$found$p "
		case $pids in
		*" $s "*) [ "$p" = "$s" ] && sessions="$sessions$s " ;;
		*) sessions="$sessions$s " ;;
		esac
	done <<END
$all
END
	more=1
	while [ "$more" ]; do
		more=
		while read -r p pp s; do
			case $found in *" $p "*) continue ;; esac
			case $found$sessions in
			*" $pp "* | *" $s "*)
				case $found in
				*" $pp "*) ;;
				*) case $sessions in *" $s "*) ;; *) continue ;; esac ;;
				esac
				found="$found$p "
				more=1
				;;
			esac
		done <<END
$all
END
	done
	[ "$found" != " " ]
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

# alive says whether any victim is left.
alive() {
	now=" $(list | while read -r p pp s; do printf '%s ' "$p"; done)"
	for p in $victims; do
		case $now in *" $p "*) return 0 ;; esac
	done
	return 1
}

# gather adds what find finds to the victims and sends TERM to the new ones.
gather() {
	find
	new=
	for p in $found; do
		case " $victims " in
		*" $p "*) ;;
		*) new="$new $p" ;;
		esac
	done
	victims="$victims$new"
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
while alive && [ "$n" -lt 30 ]; do
	nap
	n=$((n + 1))
	gather
	[ "$n" -lt 10 ] || signal KILL "$victims"
done
# shellcheck disable=SC2086
set -- $victims
echo "ended $#"
