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
        })
    }

    pub fn to_json(&self) -> Value {
        let volumes: serde_json::Map<_, _> =
            self.volumes.iter().map(|v| (v.clone(), json!({}))).collect();
        json!({
            "Entrypoint": self.entrypoint,
            "Cmd": self.cmd,
            "Env": self.env,
            "User": self.user,
            "WorkingDir": self.workdir,
            "Volumes": volumes,
            "StopSignal": self.stop_signal,
        })
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
            "WorkingDir": "/w", "Volumes": {"/d": {}}, "StopSignal": "SIGQUIT", "Other": 1});
        let config = Config::parse(&value).expect("config");
        assert_eq!((config.entrypoint.as_slice(), config.cmd.len()), (&["/e".to_owned()][..], 0));
        assert_eq!(config.volumes, ["/d"]);
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
