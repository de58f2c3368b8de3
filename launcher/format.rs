//! `--format`: docker's templates, as far as scripts use them. Pure.

use crate::error::{Error, Result};
use crate::list::table;
use crate::quote::quote;
use serde_json::Value;
use std::ffi::OsStr;

const KNOWN: &str =
    "{{.FIELD}}, {{json .FIELD}}, {{range .FIELD}}, {{if .FIELD}}, {{else}}, {{end}}";

#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    Json,
    Lines(Vec<Part>),
    /// With a head, in columns.
    Table(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(String),
    /// As it is, or as JSON.
    Field(Path, bool),
    Range(Path, Vec<Part>),
    If(Path, Vec<Part>, Vec<Part>),
}

/// `.State.Pid` as its words; empty for `.`.
type Path = Vec<String>;

/// Why a template is refused.
type Parsed<T> = std::result::Result<T, String>;

pub fn parse(text: &str) -> Parsed<Format> {
    if text == "json" {
        return Ok(Format::Json);
    }
    let (text, columns) = match text.strip_prefix("table ") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut rest = text;
    let (parts, end) = block(&mut rest)?;
    match end {
        "" if columns => Ok(Format::Table(parts)),
        "" => Ok(Format::Lines(parts)),
        end => Err(format!("{{{{{end}}}}} without a beginning")),
    }
}

/// The parts up to `{{end}}`, `{{else}}` or the end of the text, and which of them it was.
fn block<'a>(rest: &mut &'a str) -> Parsed<(Vec<Part>, &'a str)> {
    let mut parts = Vec::new();
    loop {
        let Some((before, behind)) = rest.split_once("{{") else {
            parts.push(Part::Text(escapes(rest)));
            *rest = "";
            return Ok((parts, ""));
        };
        parts.push(Part::Text(escapes(before)));
        let (action, behind) = behind.split_once("}}").ok_or("{{ without its }}")?;
        *rest = behind;
        let words: Vec<&str> = action.split_whitespace().collect();
        parts.push(match words[..] {
            ["end"] => return Ok((parts, "end")),
            ["else"] => return Ok((parts, "else")),
            ["json", field] => Part::Field(path(field)?, true),
            ["range", field] => Part::Range(path(field)?, inner(rest)?),
            ["if", field] => match block(rest)? {
                (yes, "else") => Part::If(path(field)?, yes, inner(rest)?),
                (yes, "end") => Part::If(path(field)?, yes, Vec::new()),
                _ => return Err("{{if}} without {{end}}".into()),
            },
            [field] if field.starts_with('.') => Part::Field(path(field)?, false),
            _ => return Err(format!("{{{{{action}}}}}: only {KNOWN} are understood")),
        });
    }
}

fn inner(rest: &mut &str) -> Parsed<Vec<Part>> {
    match block(rest)? {
        (parts, "end") => Ok(parts),
        _ => Err("no {{end}}".into()),
    }
}

fn path(field: &str) -> Parsed<Path> {
    let words =
        field.strip_prefix('.').ok_or_else(|| format!("{field}: a field begins with a dot"))?;
    Ok(words.split('.').filter(|w| !w.is_empty()).map(str::to_owned).collect())
}

fn escapes(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// One line for each, or a table. `quiet` about nothing: an empty list has no lines.
pub fn show(format: &Format, items: &[Value]) -> Result<String> {
    let line = |parts: &[Part], item: &Value| {
        let mut text = String::new();
        render(parts, item, &mut text).map(|()| text)
    };
    match format {
        Format::Json => Ok(format!("{}\n", Value::from(items.to_vec()))),
        Format::Lines(parts) => {
            items.iter().map(|item| line(parts, item).map(|text| text + "\n")).collect()
        }
        Format::Table(parts) => {
            let rows = items.iter().map(|item| line(parts, item));
            let rows: Result<Vec<String>> = std::iter::once(Ok(head(parts))).chain(rows).collect();
            let split = |row: &String| row.split('\t').map(str::to_owned).collect();
            Ok(table(&rows?.iter().map(split).collect::<Vec<Vec<String>>>()))
        }
    }
}

fn head(parts: &[Part]) -> String {
    let name = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Field(path, _) | Part::Range(path, _) | Part::If(path, ..) => {
            path.last().map_or_else(String::new, |word| word.to_ascii_uppercase())
        }
    };
    parts.iter().map(name).collect()
}

fn render(parts: &[Part], item: &Value, out: &mut String) -> Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Field(path, true) => out.push_str(&find(item, path)?.to_string()),
            Part::Field(path, false) => match find(item, path)? {
                Value::Null => {}
                Value::String(text) => out.push_str(text),
                other => out.push_str(&other.to_string()),
            },
            Part::Range(path, inner) => match find(item, path)? {
                Value::Array(list) => list.iter().try_for_each(|i| render(inner, i, out))?,
                Value::Object(map) => map.values().try_for_each(|i| render(inner, i, out))?,
                _ => {}
            },
            Part::If(path, yes, no) => {
                let empty = match find(item, path)? {
                    Value::Null | Value::Bool(false) => true,
                    Value::String(text) => text.is_empty(),
                    Value::Array(list) => list.is_empty(),
                    Value::Object(map) => map.is_empty(),
                    Value::Number(n) => n.as_f64() == Some(0.0),
                    Value::Bool(true) => false,
                };
                render(if empty { no } else { yes }, item, out)?;
            }
        }
    }
    Ok(())
}

/// Docker's `MemoryLimit` is `memory_limit` as well.
fn find<'a>(item: &'a Value, path: &[String]) -> Result<&'a Value> {
    let plain = |name: &str| name.replace('_', "").to_ascii_lowercase();
    path.iter().try_fold(item, |at, word| {
        let fields = at.as_object().into_iter().flatten();
        let found = fields.clone().find(|(name, _)| plain(name) == plain(word));
        found.map(|(_, value)| value).ok_or_else(|| {
            let names: Vec<&str> = fields.map(|(name, _)| name.as_str()).collect();
            let error = Error::new(format!("--format: no field {}", quote(OsStr::new(word))));
            match names.is_empty() {
                true => error,
                false => error.hint(format!("there are {}", names.join(", "))),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(template: &str) -> String {
        let item = json!({"name": "web", "memory_limit": 5, "ports": ["a", "b"], "none": null,
            "State": {"Pid": 7, "Running": true}, "Networks": {"x": {"IPAddress": "10.0.0.1"}}});
        let format = parse(template).unwrap_or_else(|why| panic!("{template}: {why}"));
        show(&format, &[item]).unwrap_or_else(|e| format!("error: {e}"))
    }

    #[test]
    fn templates() {
        for (template, text) in [
            ("{{.Name}}", "web\n"),
            ("{{ .Name }}\\t{{.State.Pid}}", "web\t7\n"),
            ("{{.MemoryLimit}}{{.none}}", "5\n"),
            ("{{json .State}}", "{\"Pid\":7,\"Running\":true}\n"),
            ("{{range .Networks}}{{.IPAddress}}{{end}}", "10.0.0.1\n"),
            ("{{range .ports}}{{.}},{{end}}", "a,b,\n"),
            ("{{if .State.Running}}up{{else}}down{{end}}", "up\n"),
            ("{{if .none}}x{{end}}-", "-\n"),
            ("table {{.Name}}\\t{{.State.Pid}}", "NAME  PID\nweb   7\n"),
            ("plain", "plain\n"),
        ] {
            assert_eq!(shown(template), text, "{template}");
        }
        assert!(
            shown("{{.Nmae}}").starts_with("error: --format: no field 'Nmae'\nhint: there are ")
        );
        for bad in [
            "{{.Name",
            "{{end}}",
            "{{if .x}}",
            "{{range .x}}{{else}}",
            "{{$x}}",
            "{{len .x}}",
            "{{json x}}",
            "{{}}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
