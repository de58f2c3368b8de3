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

/// Every key of docker's --mount is taken as it means, or refused by its name.
#[test]
fn keys_of_mount() {
    let mount = |text: &str| {
        let line = words(&["--mount", text, "./r", "/app"]);
        parse(line).map_err(|e| e.to_string())
    };
    for (kind, keys) in [
        (
            "type=bind,src=./d,",
            "bind-propagation=private|bind-propagation=rprivate|bind-recursive=enabled|bind-recursive=readonly,ro|bind-nonrecursive=false|bind-create-src=0|consistency=cached|readonly=false|ro=1",
        ),
        ("type=volume,source=d,", "volume-nocopy|volume-nocopy=1|volume-driver=local"),
        ("type=tmpfs,", "tmpfs-size=1m|tmpfs-size=1048576|tmpfs-mode=1770|consistency=default"),
    ] {
        for key in keys.split('|') {
            for target in ["target", "dst", "destination"] {
                let text = format!("{kind}{target}=/x,{key}");
                assert!(mount(&text).is_ok(), "{text}: {:?}", mount(&text));
            }
        }
    }
    for (text, said) in [
        (
            "type=bind,src=./d,dst=/x,bind-propagation=rslave",
            "bind-propagation=rslave: only private",
        ),
        (
            "type=bind,src=./d,dst=/x,bind-recursive=disabled",
            "bind-recursive=disabled: only enabled",
        ),
        (
            "type=bind,src=./d,dst=/x,bind-recursive=readonly",
            "bind-recursive=readonly needs readonly",
        ),
        ("type=bind,src=./d,dst=/x,bind-nonrecursive", "bind-nonrecursive: what is mounted below"),
        ("type=bind,src=./d,dst=/x,bind-create-src", "bind-create-src: the source must exist"),
        ("type=bind,src=./d,dst=/x,volume-nocopy", "volume-nocopy is for type=volume"),
        ("type=bind,src=./d,dst=/x,tmpfs-size=1m", "tmpfs-size is for type=tmpfs"),
        ("type=volume,src=d,dst=/x,bind-propagation=private", "bind-propagation is for type=bind"),
        (
            "type=volume,src=d,dst=/x,volume-opt=type=nfs",
            "volume-opt=type=nfs: a volume is a directory",
        ),
        ("type=volume,src=d,dst=/x,volume-driver=nfs", "volume-driver=nfs: only local"),
        ("type=volume,src=d,dst=/x,volume-label=a=b", "volume-label=a=b: volumes have no labels"),
        (
            "type=volume,src=d,dst=/x,volume-subpath=a",
            "volume-subpath=a: a volume is mounted as a whole",
        ),
        ("dst=/x", "source=NAME is missing"),
        ("type=image,src=d,dst=/x", "unknown type 'image'"),
    ] {
        let refused = mount(text).expect_err(text);
        assert!(refused.contains(said), "{text}: {refused}");
    }
    let bare = parse(words(&["-v", "/x", "./r", "/app"])).expect_err("bare").to_string();
    assert!(bare.contains("-v NAME:DST is kept"), "{bare}");
    let slave =
        parse(words(&["-v", "/a:/x:rslave", "./r", "/app"])).expect_err("slave").to_string();
    assert!(slave.contains("a mount is private"), "{slave}");
}
