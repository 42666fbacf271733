//! The report shows every variant on the pictures that it was judged on.

use std::path::Path;
use std::process::Command;

const TOML: &str = r#"
name = "worlds"
question = "Do variants that are judged on different pictures show their own?"
[model]
projection = 8
temperature = 0.05
image = { image_size = 16, patch = 8, width = 12, depth = 1, heads = 2 }
text = { positions = 25, width = 12, depth = 1, heads = 2 }
[aligner]
kind = "dense"
[training]
data = { kind = "scenes", count = 32, image_size = 16 }
batch = 8
steps = 2
schedule = { rate = 1e-3, warmup = 1, floor = 0.1 }
[evaluation]
data = { kind = "scenes", count = 3, image_size = 16, seed = 5 }
pictures = 2
[variants.here]
[variants.there.evaluation.data]
seed = 6
"#;

#[test]
fn variants_with_other_data_have_a_gallery_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("w.toml"), folder.path().join("out"));
    std::fs::write(&file, TOML).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_simseg")).arg("run").arg(&file).arg("--out").arg(&out).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let png =
        |variant: &str, what: &str| std::fs::read(out.join(format!("{variant}-seed0/pictures/0.{what}.png"))).unwrap();
    assert_ne!(png("here", "image"), png("there", "image"));
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    let galleries: Vec<&str> = report.split("<h3>").skip(1).collect();
    assert_eq!(galleries.len(), 2);
    for (gallery, own, other) in [(galleries[0], "here", "there"), (galleries[1], "there", "here")] {
        assert!(gallery.starts_with(own), "{}", &gallery[..40]);
        assert!(gallery.contains(&uri(&png(own, "image"))) && gallery.contains(&uri(&png(own, "labels"))), "{own}");
        assert!(!gallery.contains(&uri(&png(other, "image"))), "{own} on the pictures of {other}");
    }
    assert!(Path::new(&out).join("results.json").exists());
}

fn uri(png: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(png)
}

mod written {
    //! Pages of results made by hand.

    use super::TOML;
    use simseg_cpu::CpuTensor;
    use simseg_lab::experiment::Experiment;
    use simseg_lab::report;
    use simseg_lab::results::{Results, Row, Status};
    use std::path::Path;

    /// Three variants that differ in their aligner; `change` makes each of their rows.
    fn written(out: &Path, change: impl Fn(usize, &mut Row)) -> String {
        let registry = simseg::Registry::<CpuTensor<f32>>::built_in();
        let own = |k: usize| format!("[variants.k{k}.aligner]\nkind = \"loda\"\nimage_k = {k}\ntext_k = 1\n");
        let start = TOML.split("[variants.here]").next().unwrap();
        let text = format!("expect = [\"k1.miou >= 0.1\", \"k1.miou >= 0.9\"]\n{start}{}{}{}", own(1), own(2), own(3));
        let experiment = Experiment::parse(Path::new("x.toml"), &text, &[], &registry).unwrap();
        let row = |i: usize| {
            let metrics = [("miou".to_owned(), 0.2 + 0.1 * i as f64), ("pixel_accuracy".to_owned(), 0.7)].into();
            let mut row = Row { variant: format!("k{}", i + 1), metrics, ..Row::default() };
            change(i, &mut row);
            row
        };
        let results = Results { experiment: experiment.name.clone(), rows: (0..3).map(row).collect() };
        report::write(&experiment, &results, &registry, out).unwrap();
        let page = std::fs::read_to_string(out.join("report.html")).unwrap();
        well_formed(&page);
        assert!(page.len() < 3_000_000 && !page.contains("http:") && !page.contains("https:"), "{}", page.len());
        page
    }

    /// Every tag that is opened is closed, in order, and no id is there twice.
    fn well_formed(page: &str) {
        const VOID: [&str; 3] = ["meta", "img", "!doctype"];
        let start = page.find("<script>").unwrap();
        let (mut open, mut ids): (Vec<&str>, Vec<&str>) = (vec![], vec![]);
        for (at, _) in page[..start].match_indices('<') {
            let tag = &page[at + 1..at + page[at..].find('>').unwrap()];
            let name = tag.split([' ', '\n', '/']).find(|name| !name.is_empty()).unwrap();
            match tag {
                tag if tag.starts_with('/') => assert_eq!(open.pop(), Some(name), "{}", &page[at..at + 40]),
                tag if tag.ends_with('/') || VOID.contains(&name) => {}
                _ => open.push(name),
            }
            ids.extend(tag.split(" id=\"").nth(1).and_then(|rest| rest.split('"').next()));
        }
        assert_eq!(open, ["html", "body"]);
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }

    #[test]
    fn bare_figures_are_bars_and_settings_stand_apart() {
        let folder = tempfile::tempdir().unwrap();
        let page = written(folder.path(), |_, _| {});
        assert_eq!(page.matches("<rect ").count(), 3);
        assert!(
            !page.contains("Intervals: ") && !page.contains("id=\"classes\"") && !page.contains("id=\"provenance\"")
        );
        assert!(page.contains("holds: </span><code>k1.miou") && page.contains("does not hold: </span>"));
        assert!(
            page.contains("<td><code>aligner.image_k</code></td><td>–</td><td><code>2</code></td>"),
            "no difference"
        );
        assert!(!page.contains("<code>aligner.text_k</code>"));
        let csv = std::fs::read_to_string(folder.path().join("table.csv")).unwrap();
        let written = csv.lines().filter(|line| !line.starts_with('#'));
        let mut lines = written.map(|line| line.split(',').collect::<Vec<_>>());
        let headings = lines.next().unwrap();
        let miou = headings.iter().position(|heading| *heading == "miou").unwrap();
        let k2 = lines.find(|line| line[0] == "k2").unwrap();
        assert!((k2[miou].parse::<f64>().unwrap() - 0.3).abs() < 1e-12, "{csv}");
        let markdown = std::fs::read_to_string(folder.path().join("report.md")).unwrap();
        assert!(markdown.contains("| k3 | 0.400 | 0.700 |") && markdown.contains("- ✗ `k1.miou >= 0.9"), "{markdown}");
    }

    #[test]
    fn an_axis_of_numbers_gives_lines_with_bands_and_classes_a_table() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("k2-seed0")).unwrap();
        let text =
            "{\"revision\": \"abc<d\", \"cpu_features\": [\"avx2\", \"fma\"], \"inputs\": {\"a.csv\": \"12ab\"}}";
        std::fs::write(folder.path().join("k2-seed0/provenance.json"), text).unwrap();
        let page = written(folder.path(), |i, row| {
            row.axes.insert("aligner.image_k".into(), (i + 1).into());
            row.intervals.insert("miou".into(), (0.1, 0.45));
            row.per_class.insert("cat & dog".into(), (i > 0).then_some(0.5));
        });
        assert!(page.contains("Figures over aligner.image_k") && page.contains("class=\"band s0 d0\""));
        assert!(page.contains("Intervals: 95%, images drawn") && !page.contains("<rect "));
        let classes = page.split("id=\"classes\"").nth(1).unwrap();
        assert_eq!(classes.matches("style=\"--p:28\">0.500</td>").count(), 2);
        assert!(classes.contains("style=\"--p:0\">–</td>"));
        let provenance = page.split("id=\"provenance\"").nth(1).unwrap();
        assert!(provenance.contains("inputs.a.csv</th>") && provenance.contains("<code>avx2 fma</code>"));
        assert!(provenance.contains("revision</th>") && !provenance.contains("abc<d"), "{provenance}");
    }

    #[test]
    fn two_axes_give_a_map_and_a_failed_run_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let page = written(folder.path(), |i, row| {
            row.axes.insert("aligner.kind".into(), ["a", "b", "b"][i].into());
            row.axes.insert("training.steps".into(), [10, 10, 20][i].into());
            if i == 2 {
                row.status = Status::Failed("loss <not> finite".into());
                row.metrics.clear();
            }
        });
        // Two by two, of which one was never asked for and one failed.
        assert_eq!(page.matches("class=\"cell\"").count(), 4);
        assert_eq!(page.matches(": –</title>").count(), 2);
        assert_eq!(page.matches("<td class=\"failed\"").count(), 1);
        assert!(!page.contains("<not>"));
        let csv = std::fs::read_to_string(folder.path().join("table.csv")).unwrap();
        assert!(csv.contains("loss <not> finite"), "{csv}");
    }

    #[test]
    fn variants_of_one_training_share_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let log = |loss: f64| format!("{{\"step\":0,\"loss\":{loss},\"rate\":0.1,\"temperature\":0.05}}\n");
        for (variant, loss) in [("k1", 2.0), ("k2", 3.0), ("k3", 2.0)] {
            let place = folder.path().join(format!("{variant}-seed0"));
            std::fs::create_dir(&place).unwrap();
            std::fs::write(place.join("metrics.jsonl"), log(loss).repeat(2)).unwrap();
        }
        let page = written(folder.path(), |_, _| {});
        let training = page.split("id=\"training\"").nth(1).unwrap();
        assert!(training.contains("</svg>k1, k3</li>") && training.contains("</svg>k2</li>"));
    }
}
