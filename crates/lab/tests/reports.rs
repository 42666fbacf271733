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
