#!/bin/busybox sh
# /init of the virtual machine that tests/vm/run starts; see there for the options.
# Runs twice: on the initramfs, and again as /init of the root it switches to.
export PATH=/sbin:/bin:/usr/sbin:/usr/bin:/mods/bin HOME=/root TERM=dumb
as= # what runs the program as another user
broken() { echo "vm: $*"; finish 125; }
finish() { # the console carries the status: it is read on the other side
  echo; echo "@vm-status $1"
  sync
  reboot -f
}

load_modules() {
  for m in $(cat /mods/order); do
    insmod "/mods/$m.ko" || broken "cannot load $m"
  done
  rm -f /mods/*.ko
}

# A root that has a parent mount, as every ordinary host has: pivot_root works on it.
switch_to_tmpfs() {
  mount -t tmpfs -o mode=755 root /new
  cp -a /bin /sbin /etc /root /home /t /mods /init /new/
  mkdir /new/proc /new/sys /new/dev /new/run /new/tmp
  for d in /*; do # trees that the caller placed elsewhere
    [ -e "/new$d" ] || [ "$d" = /new ] || cp -a "$d" /new/
  done
  : >/new/mods/switched
  exec switch_root /new /init "$@"
}

switch_to_disk() {
  mount -t devtmpfs dev /dev
  mount -t ext4 ${ro:+-o ro} /dev/vda /new || broken "cannot mount the image"
  [ ! -d /t/image ] || cp -a /t/image/. /new/
  umount /dev
  [ -z "$pid1" ] || exec switch_root /new "$program" "$@"
  # The helper's own tools, out of the image's way and gone with the machine.
  mkdir -p /new/t /new/mods
  mount -t tmpfs tools /new/mods
  cp -a /mods/. /bin /init /new/mods/
  : >/new/mods/switched
  exec switch_root /new /mods/bin/busybox sh /mods/init "$@"
}

mount_all() {
  mkdir -p /proc /sys /dev /run /tmp
  mount -t proc -o nosuid,nodev,noexec proc /proc
  mount -t sysfs -o nosuid,nodev,noexec sys /sys
  mount -t devtmpfs -o nosuid dev /dev
  mkdir -p /dev/pts /dev/shm /dev/mqueue
  mount -t devpts -o nosuid,noexec,mode=620,ptmxmode=666 devpts /dev/pts
  mount -t tmpfs -o nosuid,nodev shm /dev/shm
  mount -t mqueue mqueue /dev/mqueue
  mount -t tmpfs -o nosuid,nodev,mode=755 run /run
  [ -n "$stay" ] || mount -t tmpfs -o nosuid,nodev tmp /tmp
  chmod 1777 /tmp /dev/shm
  for n in 0:stdin 1:stdout 2:stderr; do ln -sf "/proc/self/fd/${n%%:*}" "/dev/${n#*:}"; done
  ln -sf /proc/self/fd /dev/fd
}

mount_v1() {
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  for c in cpu cpuacct cpuset memory devices freezer blkio pids; do
    mkdir /sys/fs/cgroup/$c
    mount -t cgroup -o $c $c /sys/fs/cgroup/$c || rmdir /sys/fs/cgroup/$c
  done
  # cpuset groups inherit nothing, so a new one could hold no process.
  echo 1 >/sys/fs/cgroup/cpuset/cgroup.clone_children
}

mount_cgroups() {
  case $cgroup in
    none) ;;
    v1) mount_v1 ;;
    hybrid)
      mount_v1
      mkdir /sys/fs/cgroup/unified
      mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified ;;
    *)
      mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
      for c in cpuset cpu io memory pids; do
        echo +$c >/sys/fs/cgroup/cgroup.subtree_control
      done ;;
  esac
}

# As systemd does for a user's session: a directory that belongs to the user, with the
# files that move processes but not its own limits, and the programs in a leaf of it.
delegate() {
  mkdir -p /etc /home/user "/run/user/$uid"
  grep -q ^root: /etc/passwd 2>/dev/null || echo 'root:x:0:0::/root:/bin/sh' >>/etc/passwd
  grep -q ^root: /etc/group 2>/dev/null || echo 'root:x:0:' >>/etc/group
  echo "user:x:$uid:$uid::/home/user:/bin/sh" >>/etc/passwd
  echo "user:x:$uid:" >>/etc/group
  echo user:100000:65536 | tee /etc/subuid >/etc/subgid
  chown -R "$uid:$uid" /home/user "/run/user/$uid" /t
  export HOME=/home/user USER=user XDG_RUNTIME_DIR=/run/user/$uid
  as="start-stop-daemon -S -q -c $uid:$uid -x"
  [ "$cgroup" = v2 ] || return 0
  d=/sys/fs/cgroup/user-$uid
  mkdir -p $d/session
  for c in $d $d/session; do
    chown "$uid:$uid" $c $c/cgroup.procs $c/cgroup.threads $c/cgroup.subtree_control
  done
  # What systemd enables in a session; the rest the user can enable.
  echo "+memory +pids" >$d/cgroup.subtree_control
}

run() {
  [ -z "$uid" ] || [ "$cgroup" != v2 ] || echo 0 >"/sys/fs/cgroup/user-$uid/session/cgroup.procs"
  cd /t
  environment
  payload
}

. /mods/plan
if [ ! -e /mods/switched ]; then
  load_modules
  if [ -n "$disk" ]; then switch_to_disk "$@"; fi
  if [ -n "$pid1" ]; then payload "$@"; fi
  if [ -z "$stay" ]; then switch_to_tmpfs "$@"; fi
fi
mount_all
mount_cgroups
ip link set lo up
if [ -n "$uid" ]; then delegate; fi
stty -F "/dev/$channel" raw -echo
(run </dev/null >"/dev/$channel" 2>&1)
finish $?
