//! The module list of this crate is a table of contents: each module uses those above it and none below, and no file is long.

use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
            false => {}
        }
    }
}

#[test]
fn modules_use_what_stands_above_them_and_files_are_short() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let library = std::fs::read_to_string(src.join("lib.rs")).unwrap();
    let modules: Vec<&str> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(modules.len() > 5, "{modules:?}");
    let mut files = vec![];
    sources(&src, &mut files);
    let mut uses = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let inside = file.strip_prefix(&src).unwrap();
        assert!(text.lines().count() <= 300, "{} has {} lines", inside.display(), text.lines().count());
        let own = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        let Some(own) = modules.iter().position(|module| *module == own) else { continue };
        for part in text.split("crate::").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            if let Some(used) = modules.iter().position(|module| *module == name) {
                assert!(used <= own, "{} uses {name}, which stands below it in lib.rs", inside.display());
                uses += usize::from(used < own);
            }
        }
    }
    assert!(uses > 20, "the test found {uses} uses: it looks at nothing");
}
