//! The files, commands and sessions of docs/how-to/rewrite-manifests.md.

use std::fs;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to/rewrite-manifests.md");

/// The content below a heading, up to the next heading.
#[derive(Debug, Default)]
pub struct Section {
    /// YAML blocks that begin with a comment, each with the name in the comment.
    pub files: Vec<(String, String)>,
    /// The lines of `sh` blocks.
    pub script: String,
    /// Commands, and their documented output.
    pub session: Vec<(String, String)>,
}

pub fn section(heading: &str) -> Section {
    let page = fs::read_to_string(PAGE).expect("a file of this repository");
    let mut section = Section::default();
    let mut is_within = false;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if is_within {
                section.add(language, &block);
            }
        } else if line.starts_with('#') {
            is_within = line.trim_start_matches('#').trim() == heading;
        }
    }
    section
}

impl Section {
    fn add(&mut self, language: &str, block: &[&str]) {
        let text = block.iter().map(|line| format!("{line}\n")).collect::<String>();
        match language {
            "yaml" => {
                let name = block.first().and_then(|line| line.strip_prefix("# ")).expect("a name in the first line");
                self.files.push((name.to_owned(), text));
            }
            "sh" => self.script += &text,
            "console" => {
                for line in block {
                    match (line.strip_prefix("$ "), self.session.last_mut()) {
                        (Some(command), _) => self.session.push((command.to_owned(), String::new())),
                        (None, Some((_, printed))) => *printed += &format!("{line}\n"),
                        (None, None) => {
                            panic!("docs/how-to/rewrite-manifests.md: no command before the output {line:?}")
                        }
                    }
                }
            }
            "text" => {}
            language => panic!("docs/how-to/rewrite-manifests.md: unexpected block of {language:?}"),
        }
    }
}
