# shellcheck shell=bash disable=SC2034 # the names are used by what sources this
# Shared by up and down: where the state lives, and which processes are ours.

# Daemons live in sbin, which an unprivileged PATH often lacks.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
umask 022

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() { say "$*" >&2; exit 1; }

state=${INGOT_TEST_ENV:-${XDG_RUNTIME_DIR:-/tmp}/ingot-test-env}
# Each test runs in its package's folder, so a relative path would name many.
[[ $state == /* ]] || die "INGOT_TEST_ENV must be an absolute path, not $state"

docker_dir=$state/docker
registry_dir=$state/registry
auth_registry_dir=$state/auth-registry
ssh_dir=$state/ssh
cache_dir=$state/cache
guest_dir=$state/guest
env_file=$state/env.json

# Only a folder holding this file is ever used or deleted, so that a mistyped
# INGOT_TEST_ENV cannot cost anybody their files.
marker=$state/.ingot-test-env

docker_socket=$docker_dir/docker.sock

# What the whole machine shares is named after the state folder, so that two
# environments can exist at once. Interface names end at 15 characters.
state_id=$(printf '%s' "$state" | cksum | awk '{printf "%08x", $1}')
bridge=ingot$state_id

# The folder is settled before sudo is asked, because sudo drops XDG_RUNTIME_DIR
# and the tests, run by the caller, look for it with the caller's environment.
become_root() {
  ((EUID == 0)) && return
  command -v sudo >/dev/null || die "must run as root, or with sudo installed"
  exec sudo env "PATH=$PATH" "INGOT_TEST_ENV=$state" \
    ${INGOT_TEST_MIRROR:+"INGOT_TEST_MIRROR=$INGOT_TEST_MIRROR"} "$0" "$@"
}

# alive PIDFILE MARK: the process named there runs and has MARK in its command
# line. Process ids are reused, so a pid file alone proves nothing.
alive() {
  local pid
  { read -r pid <"$1"; } 2>/dev/null || return 1
  [[ $pid =~ ^[0-9]+$ ]] || return 1
  { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2"; } 2>/dev/null
}

# stop_ours PIDFILE MARK: ends that process and waits until it is gone.
stop_ours() {
  local pid i
  if alive "$1" "$2"; then
    read -r pid <"$1"
    kill "$pid"
    for ((i = 0; i < 300; i++)); do
      alive "$1" "$2" || break
      sleep 0.05
    done
    if alive "$1" "$2"; then
      say "process $pid did not end within 15 s; killing it" >&2
      kill -KILL "$pid"
    fi
  fi
  rm -f "$1"
}

private_docker() { DOCKER_HOST=unix://$docker_socket DOCKER_CONTEXT='' docker "$@"; }

# container_rules COMMAND SUBNET: calls COMMAND once for each firewall rule that
# gives containers a way out, with the chain as first argument.
container_rules() {
  "$1" filter FORWARD -s "$2" -j ACCEPT
  "$1" filter FORWARD -d "$2" -j ACCEPT
  "$1" nat POSTROUTING -s "$2" '!' -d "$2" -j MASQUERADE
}
add_rule() {
  local table=$1 chain=$2
  shift 2
  # First, since another engine's rules may end in a drop.
  iptables -w -t "$table" -C "$chain" "$@" 2>/dev/null || iptables -w -t "$table" -I "$chain" 1 "$@"
}
drop_rule() {
  local table=$1 chain=$2
  shift 2
  while iptables -w -t "$table" -D "$chain" "$@" 2>/dev/null; do :; done
}
