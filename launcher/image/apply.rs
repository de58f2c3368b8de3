//! An image's configuration and the user's options, as docker puts them together.

use crate::image::config::Config;
use crate::spec::{EnvItem, Id, MountOp, Spec, UserSpec};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Why a configuration cannot be followed.
type Result<T> = std::result::Result<T, String>;

/// The user's word comes before the image's. COMMAND takes the place of the image's Cmd, not
/// of its Entrypoint; that one --entrypoint replaces, and the Cmd with it.
pub fn apply(spec: &Spec, config: &Config) -> Result<Spec> {
    let mut out = spec.clone();
    let own = |words: &[String]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let mut command = match &spec.entrypoint {
        Some(given) => given.clone(),
        // docker's way to have none.
        None if config.entrypoint == [""] => Vec::new(),
        None => own(&config.entrypoint),
    };
    match (spec.command.is_empty(), &spec.entrypoint) {
        (false, _) => command.extend(spec.command.iter().cloned()),
        (true, None) => command.extend(own(&config.cmd)),
        (true, Some(_)) => {}
    }
    out.command = command;
    let env = config.env.iter().filter_map(|e| e.split_once('='));
    let env = env.filter(|(name, _)| !name.is_empty());
    out.env = env.map(|(k, v)| EnvItem::Set(k.into(), v.into())).collect();
    out.env.extend(spec.env.iter().cloned());
    if out.user.is_none() && !config.user.is_empty() {
        out.user = Some(user(&config.user)?);
    }
    if out.workdir.is_none() && !config.workdir.is_empty() {
        out.workdir = Some(PathBuf::from("/").join(&config.workdir));
    }
    if out.stop_signal.is_none() && !config.stop_signal.is_empty() {
        let named = crate::cli::signal::number(&config.stop_signal);
        let signal =
            named.ok_or_else(|| format!("StopSignal '{}': no such signal", config.stop_signal))?;
        out.stop_signal = Some(signal);
    }
    out.volumes = volumes(spec, config)?;
    Ok(out)
}

/// What the user mounts at the place, or above it, comes before an image's volume.
fn volumes(spec: &Spec, config: &Config) -> Result<Vec<PathBuf>> {
    let mut out: Vec<PathBuf> = Vec::new();
    for text in &config.volumes {
        let path: PathBuf = Path::new("/").join(text).components().collect();
        if path == Path::new("/") || path.components().any(|c| c == Component::ParentDir) {
            return Err(format!("Volumes '{text}': not a directory of its own"));
        }
        let covers = |op: &MountOp| path.starts_with(op.target());
        if !out.contains(&path) && !spec.mounts.iter().any(covers) {
            out.push(path);
        }
    }
    // The outer one first.
    out.sort();
    Ok(out)
}

/// What an image, or --entrypoint, has added to the user's words, for the record: directory,
/// user, command. Nothing for what comes from the user alone.
pub fn words(asked: &Spec, told: &Spec) -> Vec<OsString> {
    let same = (&asked.workdir, &asked.user, &asked.command);
    if same == (&told.workdir, &told.user, &told.command) {
        return Vec::new();
    }
    let id = |id: &Id| match id {
        Id::Number(n) => n.to_string(),
        Id::Name(name) => name.clone(),
    };
    let user = told.user.as_ref().map(|u| match &u.group {
        Some(group) => format!("{}:{}", id(&u.user), id(group)),
        None => id(&u.user),
    });
    let workdir = told.workdir.clone().unwrap_or_default().into();
    [workdir, user.unwrap_or_default().into()].into_iter().chain(told.command.clone()).collect()
}

/// The same from the record; None: those are no such words.
pub fn again(spec: &mut Spec, words: &[OsString]) -> Option<()> {
    let [workdir, user, command @ ..] = words else { return words.is_empty().then_some(()) };
    let user = user.to_str().filter(|u| !u.is_empty()).map(self::user);
    spec.workdir = (!workdir.is_empty()).then(|| PathBuf::from(workdir));
    spec.user = user.transpose().ok()?;
    spec.command = command.to_vec();
    Some(())
}

fn user(text: &str) -> Result<UserSpec> {
    let (user, group) = match text.split_once(':') {
        Some((user, "")) => (user, None),
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let id = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        true if text.is_empty() => Err("User is empty".to_owned()),
        true => match text.parse() {
            Ok(n) if n < u32::MAX => Ok(Id::Number(n)),
            _ => Err(format!("User '{text}': no id")),
        },
        false => Ok(Id::Name(text.to_owned())),
    };
    Ok(UserSpec { user: id(user)?, group: group.map(id).transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let list = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect();
        Config {
            entrypoint: list(&["/entry", "-e"]),
            cmd: list(&["cmd", "arg"]),
            env: list(&["A=image", "B=image", "broken"]),
            user: "app:7".into(),
            workdir: "srv".into(),
            volumes: Vec::new(),
            stop_signal: "SIGQUIT".into(),
            health_check: Vec::new(),
        }
    }

    fn line(spec: &Spec) -> String {
        spec.command.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn dockers_table_of_entrypoint_and_cmd() {
        let with = |entrypoint: Option<&str>, command: &[&str]| {
            let spec = Spec {
                entrypoint: entrypoint
                    .map(|e| if e.is_empty() { Vec::new() } else { vec![e.into()] }),
                command: command.iter().map(OsString::from).collect(),
                ..Spec::new()
            };
            line(&apply(&spec, &config()).expect("applied"))
        };
        assert_eq!(with(None, &[]), "/entry -e cmd arg");
        assert_eq!(with(None, &["x"]), "/entry -e x");
        assert_eq!(with(Some("/other"), &[]), "/other");
        assert_eq!(with(Some("/other"), &["x"]), "/other x");
        assert_eq!(with(Some(""), &["x"]), "x");
    }

    #[test]
    fn volumes_that_the_user_has_not_mounted() {
        let tmpfs = |target: &str| MountOp::Tmpfs {
            target: target.into(),
            flags: Default::default(),
            data: String::new(),
        };
        let with = |volumes: &[&str], mounts: &[&str]| {
            let volumes = volumes.iter().map(|v| (*v).to_owned()).collect();
            let config = Config { volumes, ..Config::default() };
            let spec = Spec { mounts: mounts.iter().map(|m| tmpfs(m)).collect(), ..Spec::new() };
            apply(&spec, &config).map(|s| s.volumes)
        };
        let paths = |p: &[&str]| Ok(p.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(with(&["/b/c", "a/", "/b", "/a"], &[]), paths(&["/a", "/b", "/b/c"]));
        assert_eq!(
            with(&["/a", "/b/c", "/bb", "/c"], &["/a/", "/b", "/c/d"]),
            paths(&["/bb", "/c"])
        );
        for bad in ["", "/", "/a/../..", "."] {
            assert!(with(&[bad], &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_users_word_comes_first() {
        let spec = Spec { workdir: Some("/own".into()), ..Spec::new() };
        let out = apply(&spec, &config()).expect("applied");
        assert_eq!(out.workdir, Some("/own".into()));
        assert_eq!(
            out.user,
            Some(UserSpec { user: Id::Name("app".into()), group: Some(Id::Number(7)) })
        );
        assert_eq!(out.env.len(), 2);
        assert_eq!(out.stop_signal, Some(3));
        let out = apply(&Spec::new(), &config()).expect("applied");
        assert_eq!(out.workdir, Some("/srv".into()));
        let mut told = Spec::new();
        assert_eq!(again(&mut told, &words(&Spec::new(), &out)), Some(()));
        let seen = |s: &Spec| (s.workdir.clone(), s.user.clone(), s.command.clone());
        assert_eq!(seen(&told), seen(&out));
        assert!(words(&told, &out).is_empty());
        assert_eq!(again(&mut told, &["/".into()]), None);
        let own = Spec { stop_signal: Some(15), ..Spec::new() };
        assert_eq!(apply(&own, &config()).expect("applied").stop_signal, Some(15));
        let bad = Config { stop_signal: "SIGFOO".into(), ..Config::default() };
        assert!(apply(&Spec::new(), &bad).is_err());
    }
}
