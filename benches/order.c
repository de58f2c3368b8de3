/* order OUT COMMAND [ARG...]: runs it one instruction at a time, and what it clones, up to
 * their exec; writes each address of the first file mapped, as an offset from its entry point,
 * in the order in which they were reached. x86_64 only, for benches/order. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 8 << 20 };
static char seen[2 * MOST];

int main(int argc, char **argv)
{
	struct user_regs_struct r;
	int status;
	FILE *out = argc > 2 ? fopen(argv[1], "w") : 0;
	if (!out)
		return 125;
	pid_t first = fork();
	if (first == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execv(argv[2], argv + 2);
		_exit(126);
	}
	waitpid(first, &status, 0);
	long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	ptrace(PTRACE_SETOPTIONS, first, 0, options);
	ptrace(PTRACE_GETREGS, first, 0, &r);
	unsigned long long entry = r.rip;
	ptrace(PTRACE_SINGLESTEP, first, 0, 0);
	for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
		if (!WIFSTOPPED(status)) {
			if (pid == first)
				return WIFEXITED(status) ? WEXITSTATUS(status) : 125;
			continue;
		}
		if (status >> 16 == PTRACE_EVENT_EXEC) {
			ptrace(PTRACE_DETACH, pid, 0, 0);
			continue;
		}
		int signal = WSTOPSIG(status);
		if (signal == SIGTRAP || signal == SIGSTOP) {
			signal = 0;
			ptrace(PTRACE_GETREGS, pid, 0, &r);
			unsigned long long at = r.rip - entry + MOST;
			if (at < sizeof seen && !seen[at]) {
				seen[at] = 1;
				fprintf(out, "%lld\n", (long long)(r.rip - entry));
			}
		}
		ptrace(PTRACE_SINGLESTEP, pid, 0, signal);
	}
	return 125;
}
