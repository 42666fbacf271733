//! Every link of the finished book leads somewhere: to a page, to a place on a page, or to a file of this repository. Nothing that a page
//! needs to be shown comes from the network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A page: the names of its places and what it links to, `(whether it is loaded to show the page, target)`.
#[derive(Default)]
struct Page {
    ids: BTreeSet<String>,
    links: Vec<(bool, String)>,
}

/// How many links there are, or those that lead nowhere.
pub fn checked(folder: &Path) -> Result<usize, Vec<String>> {
    let files = std::fs::read_dir(folder).map_err(|error| vec![format!("{}: {error}", folder.display())])?;
    let mut pages: BTreeMap<PathBuf, Page> = BTreeMap::new();
    for path in files.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "html"))
    {
        let text = std::fs::read_to_string(&path).map_err(|error| vec![format!("{}: {error}", path.display())])?;
        pages.insert(path, read(&text));
    }
    let mut problems = vec![];
    for (path, page) in &pages {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (loaded, target) in &page.links {
            let outside = ["http://", "https://", "mailto:", "data:"].iter().any(|scheme| target.starts_with(scheme));
            if outside {
                if *loaded && !target.starts_with("data:") {
                    problems.push(format!("{name}: loads {target}, which is not there offline"));
                }
                continue;
            }
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() {
                path.clone()
            } else {
                plain(&folder.join(file.replace("%20", " ").replace("%2E", ".")))
            };
            match pages.get(&file) {
                Some(page) if place.is_empty() || page.ids.contains(place) => {}
                Some(_) => problems.push(format!("{name}: {target}: no such place")),
                None if file.exists() => {}
                None => problems.push(format!("{name}: {target}: no such file")),
            }
        }
    }
    if problems.is_empty() { Ok(pages.values().map(|page| page.links.len()).sum()) } else { Err(problems) }
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            std::path::Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Ids and links, from tags alone: scripts and text hold neither.
fn read(html: &str) -> Page {
    let (mut page, mut rest) = (Page::default(), html);
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let tag = &rest[..rest.find('>').unwrap_or(rest.len())];
        let name = tag.split_whitespace().next().unwrap_or_default();
        if let Some(id) = attribute(tag, "id") {
            page.ids.insert(id);
        }
        let links = [(name != "a", attribute(tag, "href")), (true, attribute(tag, "src"))];
        page.links.extend(links.into_iter().filter_map(|(loaded, target)| Some((loaded, target?))));
        rest = &rest[tag.len()..];
        if name == "script" {
            rest = rest.find("</script").map_or("", |end| &rest[end..]);
        }
    }
    page
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let start = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    Some(tag[start..].split('"').next()?.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_places_are_found_in_tags_only() {
        let page = read(
            "<h1 id=\"top\">a</h1><a class=\"x\" href=\"b.html#c\">b</a> href=\"no\" <script>\"<a href='no'>\"</script><img src=\"d.svg\">",
        );
        assert!(page.ids.contains("top"));
        assert_eq!(page.links, [(false, "b.html#c".to_owned()), (true, "d.svg".to_owned())]);
    }

    #[test]
    fn a_link_to_nowhere_is_named() {
        let folder = std::env::temp_dir().join(format!("simseg-links-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
        write(
            "a.html",
            "<a href=\"b.html#here\">1</a><a href=\"#top\">2</a><p id=\"top\"></p><a href=\"https://x.org\">3</a>",
        );
        write("b.html", "<p id=\"here\"></p>");
        assert_eq!(checked(&folder), Ok(3));
        write("b.html", "<p id=\"there\"></p><img src=\"c.png\"><script src=\"https://x.org/a.js\"></script>");
        let problems = checked(&folder).unwrap_err();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(problems.len(), 3, "{problems:?}");
    }
}
