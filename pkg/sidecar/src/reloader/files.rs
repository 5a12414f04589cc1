//! The files: unpacked, expanded, compared.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Env, ReloaderOptions};

/// Two are equal when no file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: environment variable {name:?} is not set")]
    Unset { path: PathBuf, name: String, count: usize },
    #[error("{path}: {what}")]
    Bad { path: PathBuf, what: String },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { path, source }
}

/// Writes the output file, if there is one, and takes the fingerprint of all that is watched.
pub(super) fn prepare(options: &ReloaderOptions, env: &Env) -> Result<Fingerprint, FileError> {
    let mut hasher = Sha256::new();
    if let Some(config) = &options.config_file {
        let raw = fs::read(config).map_err(at(config))?;
        hash(&mut hasher, config, &raw);
        if let Some(output) = &options.output_file {
            let text = expand(config, &unpack(config, raw, options.config_bytes_max)?, env)?;
            write_if_new(output, &text)?;
        }
    }
    for dir in &options.rule_dirs {
        let root = fs::canonicalize(dir).map_err(at(dir))?;
        hash_dir(&mut hasher, &root)?;
    }
    Ok(Fingerprint(hasher.finalize().into()))
}

fn hash(hasher: &mut Sha256, path: &Path, content: &[u8]) {
    hasher.update((path.as_os_str().len() as u64).to_le_bytes());
    hasher.update(path.as_os_str().as_encoded_bytes());
    hasher.update((content.len() as u64).to_le_bytes());
    hasher.update(content);
}

/// All files below `dir`. Links to files are followed, links to directories are not: they may lead in circles.
fn hash_dir(hasher: &mut Sha256, dir: &Path) -> Result<(), FileError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        names.push(entry.map_err(at(dir))?.path());
    }
    names.sort();
    for path in names {
        let own = fs::symlink_metadata(&path).map_err(at(&path))?;
        if own.is_dir() {
            hash_dir(hasher, &path)?;
        } else if fs::metadata(&path).map_err(at(&path))?.is_file() {
            let content = fs::read(&path).map_err(at(&path))?;
            hash(hasher, &path, &content);
        }
    }
    Ok(())
}

/// Decompresses what is gzipped.
fn unpack(path: &Path, raw: Vec<u8>, max: u64) -> Result<Vec<u8>, FileError> {
    let mut out = Vec::new();
    if raw.starts_with(&[0x1f, 0x8b, 0x08]) {
        flate2::read::MultiGzDecoder::new(&raw[..]).take(max + 1).read_to_end(&mut out).map_err(at(path))?;
    } else {
        out = raw;
    }
    match out.len() as u64 > max {
        true => Err(FileError::Bad { path: path.to_owned(), what: format!("is larger than {max} bytes") }),
        false => Ok(out),
    }
}

/// Puts variables in place of `$(NAME)`; `$NAME` and `${NAME}` are left alone, Prometheus' own templates use them.
fn expand(path: &Path, text: &[u8], env: &Env) -> Result<Vec<u8>, FileError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut unset = Vec::new();
    while let Some(start) = rest.windows(2).position(|w| w == b"$(") {
        let (before, from) = rest.split_at(start);
        out.extend_from_slice(before);
        let name_len = from[2..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let name = String::from_utf8_lossy(&from[2..2 + name_len]).into_owned();
        if name_len == 0 || from.get(2 + name_len) != Some(&b')') {
            out.extend_from_slice(b"$(");
            rest = &from[2..];
            continue;
        }
        match env(&name) {
            Some(value) => out.extend_from_slice(value.as_bytes()),
            None => unset.push(name),
        }
        rest = &from[3 + name_len..];
    }
    out.extend_from_slice(rest);
    match unset.first() {
        Some(name) => Err(FileError::Unset { path: path.to_owned(), name: name.clone(), count: unset.len() }),
        None => Ok(out),
    }
}

/// Replaces the file at once; leaves it alone when it has this content, for it may lie in a watched directory.
fn write_if_new(path: &Path, content: &[u8]) -> Result<(), FileError> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary).map_err(at(&temporary))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(at(&temporary))?;
    fs::rename(&temporary, path).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn env() -> Env {
        Arc::new(|name| match name {
            "A" => Some("1".to_owned()),
            "B_2" => Some("$(A)".to_owned()),
            _ => None,
        })
    }

    #[test]
    fn expands_only_round_brackets() {
        for (text, want) in [
            ("", ""),
            ("a: $(A)$(B_2)!", "a: 1$(A)!"),
            ("$A ${A} $(A $() $(A-) $$(A)", "$A ${A} $(A $() $(A-) $1"),
            ("end $(", "end $("),
            ("$($(A)", "$(1"),
        ] {
            assert_eq!(String::from_utf8(expand(Path::new("f"), text.as_bytes(), &env()).unwrap()).unwrap(), want);
        }
        let error = expand(Path::new("f"), b"$(NOPE) $(NOR) $(A)", &env()).unwrap_err();
        assert_eq!(error.to_string(), "f: environment variable \"NOPE\" is not set");
        assert!(matches!(error, FileError::Unset { count: 2, .. }));
    }

    #[test]
    fn gzip_and_its_limit() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(&[b'x'; 1000]).unwrap();
        let packed = gz.finish().unwrap();
        assert_eq!(unpack(Path::new("f"), packed.clone(), 1000).unwrap(), [b'x'; 1000]);
        assert!(unpack(Path::new("f"), packed.clone(), 999).unwrap_err().to_string().contains("larger than 999"));
        assert!(unpack(Path::new("f"), packed[..packed.len() - 9].to_vec(), 1000).is_err());
        assert_eq!(unpack(Path::new("f"), b"a".to_vec(), 1000).unwrap(), b"a");
    }

    #[test]
    fn fingerprints() {
        let dir = tempfile::tempdir().unwrap();
        let (rules, config, output) = (dir.path().join("rules"), dir.path().join("c.yml"), dir.path().join("out.yml"));
        fs::create_dir_all(rules.join("sub")).unwrap();
        fs::write(rules.join("sub/a.yml"), "1").unwrap();
        fs::write(&config, "v: $(A)").unwrap();
        let options = ReloaderOptions {
            config_file: Some(config.clone()),
            output_file: Some(output.clone()),
            rule_dirs: vec![rules.clone()],
            ..ReloaderOptions::default()
        };
        let mut last = prepare(&options, &env()).unwrap();
        assert_eq!(fs::read_to_string(&output).unwrap(), "v: 1");
        let mut changes = |what: &str, expect: bool| {
            let now = prepare(&options, &env()).unwrap();
            assert_eq!(now != last, expect, "{what}");
            last = now;
        };
        changes("nothing", false);
        fs::write(rules.join("sub/a.yml"), "2").unwrap();
        changes("content", true);
        fs::rename(rules.join("sub/a.yml"), rules.join("sub/b.yml")).unwrap();
        changes("name", true);
        std::os::unix::fs::symlink("sub/b.yml", rules.join("link.yml")).unwrap();
        changes("a link", true);
        std::os::unix::fs::symlink(".", rules.join("circle")).unwrap();
        changes("a circle", false);
        fs::write(&config, "v: $(A)2").unwrap();
        changes("configuration", true);
    }
}
