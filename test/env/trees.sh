# shellcheck shell=bash
# Shared by up and guest: root file systems out of this machine's own programs.

busybox_tree() { # TREE
  local tree=$1
  mkdir -p "$tree"/{bin,sbin,dev,etc,proc,root,run,sys,tmp,usr/bin,usr/sbin,var/tmp}
  chmod 1777 "$tree/tmp" "$tree/var/tmp"
  chmod 700 "$tree/root"
  cp "$(command -v busybox)" "$tree/bin/busybox"
  # It makes the links to itself under the names it knows.
  chroot "$tree" /bin/busybox --install -s
  printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n' >"$tree/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
  printf 'NAME="Ingot test tiny"\nID=tiny\n' >"$tree/etc/os-release"
  echo /bin/sh >"$tree/etc/shells"
}

copy_with_libraries() { # PROGRAM TREE
  local library
  install -D "$1" "$2$1"
  while read -r library; do
    install -D "$library" "$2$library"
  done < <(ldd "$1" | grep -o '/[^ ]*')
}
