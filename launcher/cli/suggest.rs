//! The nearest known word to a mistyped one.

/// Options of bwrap, systemd-nspawn, unshare, docker and podman, and ours for the same.
const ELSEWHERE: [(&str, &str); 34] = [
    ("--bind", "-v SRC:DST"),
    ("--ro-bind", "-v SRC:DST:ro"),
    ("--bind-ro", "-v SRC:DST:ro"),
    ("--chdir", "--workdir"),
    ("--setenv", "--env"),
    ("--uid", "--user"),
    ("--gid", "--user USER:GROUP"),
    ("--directory", "ROOTFS itself, with no option before it"),
    ("--overlay", "--ephemeral"),
    ("--expose", "-p HOST:CONTAINER"),
    ("--volumes-from", "-v, with the same SRC"),
    ("--pid", OWN),
    ("--ipc", OWN),
    ("--uts", OWN),
    ("--cgroupns", OWN),
    ("--attach", "always so without -d"),
    ("-a", "always so without -d"),
    ("--gpus", "--device /dev/..., one for each that its driver makes"),
    ("--link", "a bridge: containers on one find each other by name"),
    ("--ip6", "--ip: the last part is the same"),
    ("--publish-all", "-p PORT for each"),
    ("-P", "-p PORT for each"),
    ("--memory-reservation", "--mem alone: there is no soft limit"),
    ("--cgroup-parent", "the cgroup that launch is started in"),
    ("--timeout", "timeout SECS launch ..."),
    ("--domainname", "--hostname NAME.DOMAIN"),
    ("--health-cmd", "launch exec NAME COMMAND, called by whoever wants to know"),
    ("--no-healthcheck", "always so"),
    ("--timestamps", "for the program itself to write: its log is no copy"),
    ("--tz", "-v /etc/localtime:/etc/localtime:ro, or -e TZ=..."),
    ("--umask", "sh -c 'umask 022; exec COMMAND'"),
    ("--oom-kill-disable", "--oom-score-adj, which makes it less likely"),
    ("--label-file", "--label KEY=VALUE, many times"),
    ("--unshare-net", "--net none, which is the default"),
];

const OWN: &str = "always a namespace of its own (--net alone can be shared)";

/// Commands that docker's users try, and that a directory is unlikely to be called; and what
/// there is in their place.
pub const ABSENT: [(&str, &str); 6] = [
    (
        "attach",
        "launch logs -f NAME shows its output, launch exec NAME sh enters it, launch kill -s SIG \
         NAME signals it",
    ),
    ("build", "launch commit makes an image of what --keep has kept"),
    ("cp", "launch exec NAME tar c PATH | tar x, or a volume (-v)"),
    ("create", "launch -d --name NAME ROOTFS COMMAND makes and starts a container"),
    ("pull", "nothing is fetched; skopeo copy docker://IMAGE oci:DIR does it, then launch ./DIR"),
    ("rename", "a new one is called by --name"),
];

/// What an option of another program is called here.
pub fn elsewhere(name: &str) -> Option<&'static str> {
    ELSEWHERE.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours)
}

/// None where nothing is near enough to be worth a guess.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let close = |k: &'a str| {
        let far = distance(word, k);
        // A word begun rightly but not finished is as good as one wrong letter.
        let begun = word.trim_matches('-').len() >= 2 && k.starts_with(word);
        (if begun { far.min(1) } else { far }, k)
    };
    let most = 1 + word.trim_matches('-').chars().count() / 5;
    known
        .into_iter()
        .map(close)
        .filter(|(far, _)| *far <= most)
        .min_by_key(|(far, _)| *far)
        .map(|(_, k)| k)
}

/// Letters to insert, remove, replace or swap with the next (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, far) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("mem", "mem", 0),
            ("mme", "mem", 1),
            ("memry", "memory", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }

    #[test]
    fn guesses() {
        let known = ["--mem", "--memory", "--memory-swap", "--cpus", "--cpuset-cpus", "--hostname"];
        for (word, near) in [
            ("--memry", Some("--memory")),
            ("--memor", Some("--memory")),
            ("--cpu", Some("--cpus")),
            ("--cpuset", Some("--cpuset-cpus")),
            ("--host", Some("--hostname")),
            ("--hostnmae", Some("--hostname")),
            ("--frobnicate", None),
            ("--", None),
        ] {
            assert_eq!(nearest(word, known), near, "{word}");
        }
    }
}
