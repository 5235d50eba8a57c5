# shellcheck shell=bash
# Shared by guest and guest-debian: disks out of file systems, without mounts.

# root= is not needed: the initial RAM disk looks for the label. The others
# leave out what takes time in an emulated machine.
# shellcheck disable=SC2034 # used by what sources this
kernel_args='console=tty0 console=ttyS0,115200 quiet loglevel=3 panic=5 mitigations=off nokaslr tsc=reliable no_timer_check random.trust_cpu=on'

fat_megabytes=20

place() { # IMAGE DISK MEGABYTE: writes the image there
  dd if="$1" of="$2" bs=1M seek="$3" conv=notrunc,sparse status=none
}

# make_bios_disk KERNELS ROOT MEGABYTES ARGUMENTS DISK: a raw disk that a BIOS
# boots. It has a DOS partition table, the vmlinuz and initrd in KERNELS with
# syslinux on a FAT partition, and the root file system. DISK.fat is left over.
make_bios_disk() {
  local fat=$5.fat disk=$5
  truncate -s "$((1 + fat_megabytes + $3))M" "$disk"
  printf 'label: dos\nlabel-id: 0x1a507001\nstart=%d, size=%d, type=c, bootable\nstart=%d, type=83\n' \
    2048 $((fat_megabytes * 2048)) $(((1 + fat_megabytes) * 2048)) | sfdisk -q "$disk"
  truncate -s "${fat_megabytes}M" "$fat"
  mkfs.fat -F 16 -n BOOT "$fat" >/dev/null
  printf 'default guest\nprompt 0\ntimeout 0\nlabel guest\n kernel /vmlinuz\n append initrd=/initrd %s\n' "$4" >"$disk.cfg"
  mcopy -i "$fat" "$1/vmlinuz" "$1/initrd" ::/
  mcopy -i "$fat" "$disk.cfg" ::/syslinux.cfg
  syslinux --install "$fat"
  place "$fat" "$disk" 1
  place "$2" "$disk" $((1 + fat_megabytes))
  dd if=/usr/lib/syslinux/mbr/mbr.bin of="$disk" conv=notrunc status=none
}
