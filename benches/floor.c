/* The floor: the fewest system calls that start a container, without libc.
 *
 *   floor 0 -     -      ROOTFS COMMAND [ARG...]    no limit
 *   floor 1 BYTES PREFIX ROOTFS COMMAND [ARG...]    cgroup v1, memory hierarchy
 *   floor 2 BYTES PREFIX ROOTFS COMMAND [ARG...]    cgroup v2
 *
 * 0+, 1+, 2+: with the other mounts a full container has: /sys, /dev/pts, /dev/shm,
 * /dev/mqueue, /run and /tmp.
 * 0=, 1=, 2=: all that launch does for a container: these mounts, hidden and read-only
 * paths, its own cgroup to be seen, no swap, a session and keyring of its own, capabilities,
 * no_new_privs, a filter as long as launch's, no descriptor of the caller's, launch's own
 * init (the file INIT at build time) as process 1, from a sealed memfd, and at the end a look
 * whether the kernel has killed for memory. Not what launch does for itself: it finds its own
 * cgroup and the command, notes what would have to be cleared up, and looks back at the end.
 *
 * The cgroup is PREFIX and our pid, made and removed here. Any failing call ends with
 * its line and 125, so that a floor that does less than it should is noticed.
 * With -DPAYLOAD: a program that only exits.
 */
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/syscall.h>

#define RUN __attribute__((used, noreturn)) static

#ifdef __x86_64__
__asm__(".globl _start\n_start: xor %ebp,%ebp\n mov %rsp,%rdi\n and $-16,%rsp\n call run");
static long sys(long n, long a, long b, long c, long d, long e)
{
	long r;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return r;
}
#else /* aarch64 */
__asm__(".globl _start\n_start: mov x29,#0\n mov x0,sp\n bl run");
static long sys(long n, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}
#endif

#ifdef PAYLOAD
RUN void run(long *sp)
{
	(void)sp;
	for (;;)
		sys(SYS_exit_group, 0, 0, 0, 0, 0);
}
#else

#ifdef INIT
extern const char init_begin[], init_end[];
__asm__(".pushsection .rodata\ninit_begin: .incbin \"" INIT "\"\ninit_end: .popsection");
#endif

enum { AT_CWD = -100, O_WR = 1, O_PATHS = 010000000, O_DIR = 0200000, SIG_CHLD = 17 };
enum { M_NOSUID = 2, M_NODEV = 4, M_NOEXEC = 8, M_BIND = 4096, M_REC = 16384, M_PRIVATE = 1 << 18 };
enum attribute { READ_ONLY = 1, NO_DEVICES = 4 }; /* MOUNT_ATTR_* */
enum { M_STRICTATIME = 1 << 24, DETACH = 2, S_CHR = 020000 };

static void put(char *to, const char *s, long number)
{
	char digits[20];
	int n = 0;
	while (*s)
		*to++ = *s++;
	do
		digits[n++] = '0' + number % 10;
	while (number /= 10);
	while (n)
		*to++ = digits[--n];
	*to = 0;
}

static size_t len(const char *s)
{
	size_t n = 0;
	while (s[n])
		n++;
	return n;
}

/* Every call through here: a wrong floor must not look like a fast one. */
static long must(long r, int line)
{
	char text[64];
	if (r >= 0)
		return r;
	put(text, "floor: errno ", -r);
	put(text + len(text), " at line ", line);
	size_t end = len(text);
	text[end] = '\n';
	sys(SYS_write, 2, (long)text, end + 1, 0, 0);
	for (;;)
		sys(SYS_exit_group, 125, 0, 0, 0, 0);
}
#define DO(n, ...) must(CALL(n, __VA_ARGS__, 0, 0, 0, 0), __LINE__)
#define CALL(n, a, b, c, d, e, ...) sys(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

static char path[512];

static const char *below(const char *name)
{
	static size_t dir;
	if (!dir)
		dir = len(path);
	for (size_t i = 0; i == 0 || name[i - 1]; i++)
		path[dir + i] = name[i];
	return path;
}

static void store(const char *file, const char *value)
{
	long fd = DO(openat, AT_CWD, file, O_WR);
	DO(write, fd, value, len(value));
	DO(close, fd);
}

static void count_of_kills(const char *file)
{
	char text[512];
	long fd = DO(openat, AT_CWD, below(file), 0);
	DO(read, fd, text, sizeof text);
	DO(close, fd);
}

static void make_dev(void)
{
	static const struct { const char *name; int major, minor; } nodes[] = {
		{ "dev/null", 1, 3 }, { "dev/zero", 1, 5 }, { "dev/full", 1, 7 },
		{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
	};
	static const char *const links[][2] = {
		{ "/proc/self/fd", "dev/fd" }, { "/proc/self/fd/0", "dev/stdin" },
		{ "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" },
	};
	DO(mount, "tmpfs", "dev", "tmpfs", M_NOSUID | M_STRICTATIME, "mode=755");
	for (int i = 0; i < 6; i++)
		DO(mknodat, AT_CWD, nodes[i].name, S_CHR | 0666, nodes[i].major << 8 | nodes[i].minor);
	for (int i = 0; i < 4; i++)
		DO(symlinkat, links[i][0], AT_CWD, links[i][1]);
}

static void other_mounts(void)
{
	DO(mount, "sysfs", "sys", "sysfs", 1 | M_NOSUID | M_NODEV | M_NOEXEC);
	DO(mkdirat, AT_CWD, "dev/pts", 0755);
	DO(mount, "devpts", "dev/pts", "devpts", M_NOSUID | M_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	DO(mkdirat, AT_CWD, "dev/shm", 0755);
	DO(mount, "shm", "dev/shm", "tmpfs", M_NOSUID | M_NODEV | M_NOEXEC, "mode=1777");
	DO(mkdirat, AT_CWD, "dev/mqueue", 0755);
	DO(mount, "mqueue", "dev/mqueue", "mqueue", M_NOSUID | M_NODEV | M_NOEXEC);
	DO(mount, "tmpfs", "run", "tmpfs", M_NOSUID | M_NODEV, "mode=755");
	DO(mount, "tmpfs", "tmp", "tmpfs", M_NOSUID | M_NODEV, "mode=1777");
	DO(symlinkat, "pts/ptmx", AT_CWD, "dev/ptmx");
	DO(symlinkat, "/proc/kcore", AT_CWD, "dev/core");
}

/* A path that this kernel does not have need not be hidden. */
static int there(long r)
{
	if (r != -2)
		must(r, __LINE__);
	return r != -2;
}
#define TRY(n, ...) there(CALL(n, __VA_ARGS__, 0, 0, 0, 0))

static void set(enum attribute attribute, const char *at)
{
	struct { unsigned long set, clear, propagation, userns; } attr = { attribute, 0, 0, 0 };
	DO(mount_setattr, AT_CWD, at, 0, &attr, sizeof attr);
}

/* Files below /dev/null, directories below an empty one. */
static void hide_in_proc(void)
{
	static const char *const files[] = { "proc/interrupts", "proc/kcore", "proc/keys",
		"proc/latency_stats", "proc/sched_debug", "proc/timer_list", "proc/timer_stats" };
	static const char *const dirs[] = { "proc/acpi", "proc/asound", "proc/scsi" };
	static const char *const kept[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys",
		"proc/sysrq-trigger" };
	DO(mkdirat, AT_CWD, "dev/none", 0);
	for (int i = 0; i < 7; i++)
		TRY(mount, "dev/null", files[i], 0, M_BIND);
	for (int i = 0; i < 3; i++)
		TRY(mount, "dev/none", dirs[i], 0, M_BIND);
	for (int i = 0; i < 5; i++)
		if (TRY(mount, kept[i], kept[i], 0, M_BIND))
			set(READ_ONLY, kept[i]);
}

static void hide_in_sys(const char *version)
{
	const char *at = version[0] == '1' ? "sys/fs/cgroup/memory" : "sys/fs/cgroup";
	TRY(mount, "dev/none", "sys/devices/virtual/powercap", 0, M_BIND);
	TRY(mount, "dev/none", "sys/firmware", 0, M_BIND);
	DO(unlinkat, AT_CWD, "dev/none", 0x200 /* AT_REMOVEDIR */);
	if (version[0] == '0')
		return;
	if (version[0] == '1') {
		DO(mount, "tmpfs", "sys/fs/cgroup", "tmpfs", M_NOSUID | M_NODEV | M_NOEXEC, "mode=755");
		DO(mkdirat, AT_CWD, at, 0755);
		set(READ_ONLY, "sys/fs/cgroup");
	}
	DO(mount, below(""), at, 0, M_BIND);
	set(READ_ONLY, at);
}

/* Capabilities of docker's default, and a filter of 87 comparisons that allows all. */
static void drop(void)
{
	unsigned long keep = 0xa80425fb;
	struct { unsigned version; int pid; } head = { 0x20080522, 0 };
	struct { unsigned effective, permitted, inheritable; } caps[2] = { { keep, keep, 0 }, { 0, 0, 0 } };
	struct sock_filter filter[90];
	struct sock_fprog program = { 0, filter };
	for (int cap = 0; cap <= 40; cap++)
		if (!(keep >> cap & 1))
			DO(prctl, 24 /* PR_CAPBSET_DROP */, cap);
	DO(capset, &head, caps);
	DO(prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1);
	filter[program.len++] = (struct sock_filter){ 0x20, 0, 0, 4 };
	filter[program.len++] = (struct sock_filter){ 0x20, 0, 0, 0 };
	/* A tree: no system call meets more than ten of them. */
	for (int i = 0; i < 87; i++) {
		int last = i % 10 == 9 || i > 79, to_the_end = 88 - program.len;
		filter[program.len++] = (struct sock_filter){ 0x35, last ? to_the_end : 0,
			last ? 0 : 9 - i % 10, i * 5 };
	}
	filter[program.len++] = (struct sock_filter){ 0x06, 0, 0, SECCOMP_RET_ALLOW };
	DO(prctl, 22 /* PR_SET_SECCOMP */, SECCOMP_MODE_FILTER, &program);
}

static void loopback_up(void)
{
	struct { char name[16]; short flags; char rest[22]; } request = { "lo", 1, { 0 } };
	long fd = DO(socket, 2 /* AF_INET */, 2 /* SOCK_DGRAM */, 0);
	DO(ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &request);
	DO(close, fd);
}

/* Process 1 starts the command, forwards signals, reaps. */
static void init(char **command, char **envp)
{
#ifdef INIT
	char *argv[64] = { "/sbin/init", "--launched", "--" };
	long fd = DO(memfd_create, "init", 1 | 2 /* CLOEXEC, ALLOW_SEALING */);
	DO(write, fd, init_begin, init_end - init_begin);
	DO(fcntl, fd, 1033 /* F_ADD_SEALS */, 15 /* SEAL, SHRINK, GROW, WRITE */);
	DO(close_range, 3, 0x7fffffff, 4 /* CLOEXEC */);
	for (int i = 0; command[i]; i++) {
		must(i < 60 ? 0 : -7 /* E2BIG */, __LINE__);
		argv[i + 3] = command[i];
	}
	DO(execveat, fd, "", argv, envp, 0x1000 /* AT_EMPTY_PATH */);
#else
	must(-2, __LINE__);
#endif
}

RUN void child(const char *version, const char *root, char **argv, char **envp)
{
	if (version[0] == '1')
		store(below("/tasks"), "0");
	/* After joining: made by clone it would be rooted at the parent's cgroup. */
	DO(unshare, CLONE_NEWCGROUP);
	if (version[1] == '=') {
		DO(prctl, 1 /* PR_SET_PDEATHSIG */, 9);
		DO(setsid, 0);
		DO(keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, 0);
	}
	DO(umask, 0);
	DO(mount, 0, "/", 0, M_REC | M_PRIVATE);
	DO(mount, root, root, 0, M_BIND);
	DO(chdir, root);
	DO(mount, "proc", "proc", "proc", M_NOSUID | M_NODEV | M_NOEXEC);
	make_dev();
	if (version[1])
		other_mounts();
	if (version[1] == '=') {
		hide_in_proc();
		hide_in_sys(version);
	}
	DO(pivot_root, ".", ".");
	DO(umount2, ".", DETACH);
	DO(chdir, "/");
	DO(umask, 022);
	DO(sethostname, "floor", 5);
	loopback_up();
	if (version[1] == '=') {
		set(NO_DEVICES, "/");
		drop();
		init(argv, envp);
	}
	DO(execve, argv[0], argv, envp);
	__builtin_unreachable();
}

RUN void run(long *sp)
{
	char **argv = (char **)(sp + 1), **envp = argv + sp[0] + 1;
	if (sp[0] < 6)
		must(-22, __LINE__);
	char version = argv[1][0];
	struct clone_args args = { .exit_signal = SIG_CHLD };
	args.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
	if (version != '0') {
		put(path, argv[3], DO(getpid, 0));
		DO(mkdirat, AT_CWD, path, 0755);
		store(below(version == '1' ? "/memory.limit_in_bytes" : "/memory.max"), argv[2]);
		if (argv[1][1] == '=')
			version == '1' ? store(below("/memory.memsw.limit_in_bytes"), argv[2])
				       : store(below("/memory.swap.max"), "0");
		below("");
	}
	if (version == '2') {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = DO(openat, AT_CWD, path, O_PATHS | O_DIR);
	}
	long pid = DO(clone3, &args, sizeof args);
	if (pid == 0)
		child(argv[1], argv[4], argv + 5, envp);
	int status = 0;
	DO(wait4, pid, &status, 0, 0);
	if (version != '0' && argv[1][1] == '=')
		count_of_kills(version == '1' ? "/memory.oom_control" : "/memory.events");
	if (version != '0')
		DO(unlinkat, AT_CWD, below(""), 0x200 /* AT_REMOVEDIR */);
	for (;;)
		sys(SYS_exit_group, status & 127 ? 128 + (status & 127) : status >> 8 & 255, 0, 0, 0, 0);
}
#endif
