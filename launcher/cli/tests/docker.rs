//! What docker's and podman's users write.

use super::{spec, words};
use crate::cli::parse;

#[test]
fn taken_as_they_mean_it() {
    let line =
        ["-l", "a=1", "--label", "b", "--label=a=2=3", "--replace", "--name", "n", "--cpu-quota"];
    let s = spec(
        &[&line[..], &["50000", "--pull", "never", "-q", "--sig-proxy", "./r", "/app"]].concat(),
    );
    assert_eq!(s.labels, [("b".to_owned(), String::new()), ("a".to_owned(), "2=3".to_owned())]);
    assert_eq!((s.replace, s.limits.cpus_milli), (true, Some(500)));
    let s = spec(&["--cpu-period", "50000", "--cpu-quota=75000", "./r", "/app"]);
    assert_eq!(s.limits.cpus_milli, Some(1500));
    let s = spec(&["--network-alias", "db", "--dns-opt", "ndots:2", "./r", "/app"]);
    assert_eq!(
        (&s.net_options.aliases[..], &s.net_options.dns_options[..]),
        (&["db".to_owned()][..], &["ndots:2".to_owned()][..])
    );
    assert!(matches!(s.net, crate::spec::Net::Bridge(_)));
}

#[test]
fn refused_with_what_there_is() {
    for (line, said) in [
        (&["--label", "=x"][..], "has no name"),
        (&["--replace"], "--replace needs --name"),
        (&["--cpu-period", "50000"], "--cpu-period needs --cpu-quota"),
        (&["--cpu-quota", "50000", "--cpus", "1"], "give one of them"),
        (
            &["--cpu-quota", "1000", "--cpu-period", "1000000"],
            "--cpu-quota 1000: less than a hundredth of --cpu-period 1000000",
        ),
        (&["--log-opt", "max-size=1X"], "--log-opt 'max-size=1X': unknown unit 'X'"),
        (&["--sysctl", "net.ipv4.ip_forward="], "=': the value is empty"),
        (&["--pull", "always"], "nothing is ever fetched"),
        (&["--sig-proxy=false"], "always reach the command"),
        (&["--network-alias", "a b"], "'a b' is not a host name"),
        (&["--network-alias", "a", "--net", "none"], "--network-alias needs a bridge"),
        (&["--dns-option", ""], "not an option of resolv.conf"),
        (&["--gpus", "all"], "here it is --device"),
        (&["--link", "x"], "here it is a bridge"),
    ] {
        match parse(words(&[line, &["./r", "/app"]].concat())) {
            Ok(command) => panic!("{line:?} was taken as {command:?}"),
            Err(e) => assert!(e.to_string().contains(said), "{line:?}: {e}"),
        }
    }
}
