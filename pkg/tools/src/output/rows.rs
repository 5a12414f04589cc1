//! Rows under a header, in the forms that people and programs read.

use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Table,
    /// As a table, with more columns.
    Wide,
    Csv,
    Tsv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    JsonLines,
    Yaml,
}

impl Format {
    /// The words on the command line, Thanos' first.
    pub const WORDS: &'static [&'static str] = &["table", "tsv", "csv", "json", "jsonl", "yaml", "wide"];

    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "table" => Self::Table,
            "wide" => Self::Wide,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "json" => Self::Json,
            "jsonl" => Self::JsonLines,
            "yaml" => Self::Yaml,
            _ => return None,
        })
    }

    /// Whether cells are printed as they are and not as values with a type.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Table | Self::Wide | Self::Csv | Self::Tsv)
    }
}

/// A header and rows as long as it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub header: Vec<&'static str>,
    /// Cells.
    pub rows: Vec<Vec<String>>,
}

impl Rows {
    /// The text in one of the forms. JSON and YAML have objects with the header's names in lower case as keys.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Table | Format::Wide => self.table(),
            Format::Csv => self.separated(','),
            Format::Tsv => self.separated('\t'),
            Format::Json | Format::JsonLines | Format::Yaml => render_values(&self.objects(), format),
        }
    }

    fn objects(&self) -> Vec<Value> {
        let key = |name: &str| name.trim_start_matches('#').to_lowercase().replace('-', "_");
        let keys: Vec<String> = self.header.iter().map(|name| key(name)).collect();
        let object = |row: &Vec<String>| {
            let pairs = keys.iter().cloned().zip(row.iter().map(|cell| Value::String(cell.clone())));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }

    /// Header centred, cells to the left, a line between: the table that Thanos prints.
    fn table(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([self.header[column].chars().count()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let mut out = String::new();
        for (name, width) in self.header.iter().zip(&widths) {
            let space = width - name.chars().count();
            let left = space / 2;
            out.push_str(&format!("| {:left$}{name}{:right$} ", "", "", right = space - left));
        }
        out.push_str("|\n");
        for width in &widths {
            out.push_str(&format!("|{}", "-".repeat(width + 2)));
        }
        out.push_str("|\n");
        for row in &self.rows {
            for (cell, width) in row.iter().zip(&widths) {
                out.push_str(&format!("| {cell:width$} "));
            }
            out.push_str("|\n");
        }
        out
    }

    fn separated(&self, separator: char) -> String {
        let mut out = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = &str>| {
            for (at, cell) in cells.enumerate() {
                if at > 0 {
                    out.push(separator);
                }
                if needs_quotes(cell, separator) {
                    out.push_str(&format!("\"{}\"", cell.replace('"', "\"\"")));
                } else {
                    out.push_str(cell);
                }
            }
            out.push('\n');
        };
        line(&mut self.header.iter().copied());
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
        out
    }
}

fn needs_quotes(cell: &str, separator: char) -> bool {
    cell == "\\." || cell.contains([separator, '"', '\r', '\n']) || cell.starts_with(char::is_whitespace)
}

/// Values as one JSON array, one JSON object a line, or one YAML list.
pub(crate) fn render_values(values: &[Value], format: Format) -> String {
    match format {
        Format::JsonLines => values.iter().map(|value| format!("{value}\n")).collect(),
        // writing values with text keys to memory cannot fail
        Format::Yaml => serde_saphyr::to_string(&values).unwrap_or_default(),
        _ => serde_json::to_string_pretty(values).map(|text| text + "\n").unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        Rows { header: vec!["ULID", "#SERIES"], rows: vec![row(["a", "1,000"]), row(["bcdefg", "say \"x\""])] }
    }

    #[test]
    fn forms() {
        for (format, text) in [
            (
                Format::Table,
                "|  ULID  | #SERIES |\n|--------|---------|\n| a      | 1,000   |\n| bcdefg | say \"x\" |\n",
            ),
            (Format::Csv, "ULID,#SERIES\na,\"1,000\"\nbcdefg,\"say \"\"x\"\"\"\n"),
            (Format::Tsv, "ULID\t#SERIES\na\t1,000\nbcdefg\t\"say \"\"x\"\"\"\n"),
            (
                Format::JsonLines,
                "{\"series\":\"1,000\",\"ulid\":\"a\"}\n{\"series\":\"say \\\"x\\\"\",\"ulid\":\"bcdefg\"}\n",
            ),
        ] {
            assert_eq!(rows().render(format), text, "{format:?}");
        }
        let json: Value = serde_json::from_str(&rows().render(Format::Json)).unwrap();
        assert_eq!(json[0]["series"], "1,000");
        let yaml: Value = serde_saphyr::from_str(&rows().render(Format::Yaml)).unwrap();
        assert_eq!(yaml, json);
        assert_eq!(Rows::default().render(Format::Json), "[]\n");
    }

    #[test]
    fn words_are_formats() {
        assert!(Format::WORDS.iter().all(|word| Format::parse(word).is_some()));
        assert_eq!(Format::parse("xml"), None);
    }
}
