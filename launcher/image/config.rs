//! What an image says of how it wants to be run (OCI image specification, config.md; docker's
//! is the same).

use serde_json::{Value, json};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
    /// `USER[:GROUP]`, names or numbers; empty is root.
    pub user: String,
    pub workdir: String,
    pub volumes: Vec<String>,
    /// `SIGQUIT`, or a number.
    pub stop_signal: String,
    /// `CMD` or `CMD-SHELL` and words. Nobody runs it; its user is told so.
    pub health_check: Vec<String>,
}

/// Where in the document what is wrong: `.config.Env: expected strings`.
type Result<T> = std::result::Result<T, String>;

impl Config {
    /// The member `config` of an image's configuration.
    pub fn parse(value: &Value) -> Result<Config> {
        if value.is_null() {
            return Ok(Config::default());
        }
        if !value.is_object() {
            return Err(".config: expected an object".into());
        }
        Ok(Config {
            entrypoint: list(value, "Entrypoint")?,
            cmd: list(value, "Cmd")?,
            env: list(value, "Env")?,
            user: text(value, "User")?,
            workdir: text(value, "WorkingDir")?,
            volumes: keys(value, "Volumes")?,
            stop_signal: text(value, "StopSignal")?,
            health_check: list(&value["Healthcheck"], "Test").unwrap_or_default(),
        })
    }

    pub fn to_json(&self) -> Value {
        let volumes: serde_json::Map<_, _> =
            self.volumes.iter().map(|v| (v.clone(), json!({}))).collect();
        let mut all = json!({
            "Entrypoint": self.entrypoint,
            "Cmd": self.cmd,
            "Env": self.env,
            "User": self.user,
            "WorkingDir": self.workdir,
            "Volumes": volumes,
            "StopSignal": self.stop_signal,
        });
        if !self.health_check.is_empty() {
            all["Healthcheck"] = json!({ "Test": self.health_check });
        }
        all
    }

    /// What of it is not done, for whoever keeps the image.
    pub fn unused(&self) -> Option<String> {
        match self.health_check.as_slice() {
            [kind, words @ ..] if kind != "NONE" && !words.is_empty() => Some(format!(
                "its health check is not run; launch exec NAME does it: {}",
                words.join(" ")
            )),
            _ => None,
        }
    }
}

fn list(value: &Value, key: &str) -> Result<Vec<String>> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            let strings = items.iter().map(|v| v.as_str().map(str::to_owned)).collect();
            let strings: Option<Vec<String>> = strings;
            let no_nul = |s: &Vec<String>| s.iter().all(|s| !s.contains('\0'));
            strings.filter(no_nul).ok_or_else(|| format!(".config.{key}: expected strings"))
        }
        Some(_) => Err(format!(".config.{key}: expected a list")),
    }
}

fn text(value: &Value, key: &str) -> Result<String> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(s)) if !s.contains('\0') => Ok(s.clone()),
        Some(_) => Err(format!(".config.{key}: expected a string")),
    }
}

fn keys(value: &Value, key: &str) -> Result<Vec<String>> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(map)) => Ok(map.keys().cloned().collect()),
        Some(_) => Err(format!(".config.{key}: expected an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_and_nothing() {
        let value = json!({"Entrypoint": ["/e"], "Cmd": null, "Env": ["A=b"], "User": "app:2",
            "WorkingDir": "/w", "Volumes": {"/d": {}}, "StopSignal": "SIGQUIT", "Other": 1,
            "Healthcheck": {"Test": ["CMD-SHELL", "curl -f localhost"], "Interval": 5}});
        let config = Config::parse(&value).expect("config");
        assert_eq!((config.entrypoint.as_slice(), config.cmd.len()), (&["/e".to_owned()][..], 0));
        assert_eq!(config.volumes, ["/d"]);
        assert!(config.unused().is_some_and(|said| said.ends_with(": curl -f localhost")));
        for odd in [json!(1), json!({"Test": "x"}), json!({"Test": ["NONE"]}), json!({})] {
            let config = Config::parse(&json!({ "Healthcheck": odd })).expect("config");
            assert_eq!(config.unused(), None);
        }
        assert_eq!(Config::parse(&config.to_json()), Ok(config));
        assert_eq!(Config::parse(&Value::Null), Ok(Config::default()));
    }

    #[test]
    fn wrong_types_by_name() {
        let wrong = |v: Value| Config::parse(&v).expect_err("wrong");
        assert_eq!(wrong(json!({"Env": "A=b"})), ".config.Env: expected a list");
        assert_eq!(wrong(json!({"Cmd": [1]})), ".config.Cmd: expected strings");
        assert_eq!(wrong(json!({"User": 5})), ".config.User: expected a string");
        assert_eq!(wrong(json!([])), ".config: expected an object");
    }
}
