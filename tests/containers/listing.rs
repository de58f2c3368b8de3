//! What scripts ask of `launch ps` and `launch inspect`.

use super::living::{facts, state, verb};
use crate::common::*;

#[test]
fn filters_and_templates() {
    let Some(s) = Sandbox::new() else { return };
    for (name, command) in [("l1", "exec sleep 60"), ("l2", "exit 3"), ("other", "exec sleep 60")] {
        s.run(&["-d", "--name", name], &["sh", "-c", command]).ok();
    }
    wait_until("one has ended", || state("l2") == "ended");
    let rootfs = format!("ancestor={}", s.rootfs().display());
    // Others' containers may be there, too.
    let names = |words: &[&str]| {
        let list = verb(&[&["ps", "-q", "--filter", &rootfs], words].concat()).ok();
        list.lines().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&[]), "l1 other");
    assert_eq!(names(&["-a"]), "l1 l2 other");
    assert_eq!(names(&["-a", "-f", "name=l"]), "l1 l2");
    assert_eq!(names(&["-a", "-f", "name=^/l1$", "-f", "name=oth"]), "l1 other");
    assert_eq!(names(&["-f", "name=1$", "-f", "status=exited"]), "");
    assert_eq!(names(&["-f", "status=exited"]), "l2");
    assert_eq!(names(&["-f", "exited=3"]), "l2");
    assert_eq!(names(&["-f", "exited=4"]), "");
    assert_eq!(names(&["--latest"]), "other");
    assert_eq!(names(&["-n", "2"]), "l2 other");
    let one = |template: &str| verb(&["ps", "-af", "name=^l2$", "--format", template]).ok();
    assert_eq!(one("{{.Names}} {{.State}} {{.ExitCode}}|{{json .Detached}}"), "l2 ended 3|true");
    assert_eq!(one("{{.Status}}, {{.Command}}"), "ended 3, sh -c 'exit 3'");
    assert_eq!(one("table {{.ID}}\\t{{.Status}}"), "ID  STATUS\nl2  ended 3");
    let template = "{{.Name}} {{.State.Running}} {{.State.ExitCode}} {{json .Config.Cmd}}";
    assert_eq!(
        verb(&["inspect", "-f", template, "l2", "l1"]).ok(),
        "l2 false 3 [\"sh\",\"-c\",\"exit 3\"]\nl1 true 0 [\"sh\",\"-c\",\"exec sleep 60\"]"
    );
    let pid = verb(&["inspect", "--format={{.State.Pid}}", "l1"]).ok();
    assert!(std::path::Path::new("/proc").join(&pid).exists() && !pid.is_empty(), "{pid}");
    verb(&["inspect", "-f", "{{.Pidd}}", "l1"])
        .fails(125, &["no field 'Pidd'", "there are ", "pid"]);
    for bad in ["{{.x", "{{$x := 1}}", "{{end}}"] {
        verb(&["ps", "--format", bad]).fails(125, &["--format '"]);
    }
    for bad in ["name", "colour=red", "status=bored", "exited=x"] {
        verb(&["ps", "--filter", bad]).fails(125, &["--filter '"]);
    }
    verb(&["rm", "-fv", "l1", "l2", "other"]).ok();
}

#[test]
fn labels_and_names_that_give_way() {
    let Some(s) = Sandbox::new() else { return };
    let start = ["-d", "--name", "lab", "-l", "tier=front", "--label", "plain", "--replace"];
    s.run(&start, &["sleep", "60"]).ok();
    let first = facts("lab")["pid"].clone();
    assert_eq!(facts("lab")["labels"], serde_json::json!({"tier": "front", "plain": ""}));
    for (filter, found) in
        [("tier=front", "lab"), ("plain", "lab"), ("tier=back", ""), ("other", "")]
    {
        let filter = format!("label={filter}");
        assert_eq!(verb(&["ps", "-q", "--filter", &filter]).ok(), found, "{filter}");
    }
    assert_eq!(verb(&["inspect", "-f", "{{.Config.Labels.tier}}", "lab"]).ok(), "front");
    assert_eq!(s.run(&start, &["sleep", "60"]).ok(), "lab");
    assert_ne!(facts("lab")["pid"], first);
    verb(&["rm", "-f", "lab"]).ok();
}
