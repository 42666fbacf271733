//! What the library costs a user to depend on: nothing of the program, of its reports, or of the tests.

use std::process::Command;

#[test]
fn the_library_brings_nothing_of_the_program_or_of_the_tests() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let tree = |package: &str| {
        let arguments = ["tree", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--package"];
        let output = Command::new(&cargo).args(arguments).arg(package).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |tree: &[String], name: &str| tree.iter().any(|package| package == name);
    // The names are spelled as the program's own tree has them: what is not found below could have been found.
    let (library, program) = (tree("simseg"), tree("simseg-lab"));
    assert!(has(&library, "simseg-cpu"), "{library:?}");
    for name in ["clap", "askama", "indicatif", "simseg-testkit"] {
        assert!(has(&program, name), "simseg-lab depends on {name}");
    }
    for name in
        ["clap", "askama", "indicatif", "simseg-testkit", "simseg-lab", "proptest", "criterion", "libtest-mimic", "tch"]
    {
        assert!(!has(&library, name), "simseg depends on {name}");
    }
}
