//! `cargo xtask web`: the live page, into `target/web`; `--test` drives it in headless Chromium.
//!
//! ```text
//! crates/web → simseg.wasm ─┐
//! crates/web/page/* ────────┴─ simseg-web (natively: trains three small models, paints the first view) → index.html, simseg.html
//! ```
//!
//! WebAssembly comes from rustup's target, or, where rustup can't fetch it, from Debian's `rustc-web`, which then compiles the standard
//! library too. What is missing is said, and skips: the page is no part of a default build.

use crate::{cargo, root};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Most bytes of the page without WebAssembly and weights, and of WebAssembly as servers send it.
const BUDGETS: [(&str, u64); 2] = [("HTML, CSS and JavaScript", 150_000), ("WebAssembly, compressed", 600_000)];

const TARGET: &str = "wasm32-unknown-unknown";
const MISSING: &str = "no WebAssembly target: `rustup target add wasm32-unknown-unknown`, or on Debian `apt-get install rustc-web cargo-web \
                       rust-web-src lld-19`";

/// What brings all of it on Debian: the compiler, what makes the module smaller, and what the tests drive.
const PACKAGES: [&str; 9] =
    ["rustc-web", "cargo-web", "rust-web-src", "lld-19", "binaryen", "brotli", "chromium", "nodejs", "npm"];

/// Builds the page, and tests it if asked to.
pub fn web(options: &[&str]) -> ExitCode {
    let test = match options {
        [] => false,
        ["--test"] => true,
        _ => return crate::usage(),
    };
    if crate::in_ci() && compiler().is_none() {
        crate::apt_install(&PACKAGES);
    }
    let Some(mut command) = compiler() else { return skipped(MISSING) };
    let out = root().join("target/web");
    let build = [
        "build",
        "--profile",
        "web",
        "--target",
        TARGET,
        "--package",
        "simseg-web",
        "--lib",
        "--target-dir",
        "target/wasm",
    ];
    if !succeeds(command.args(build)) {
        return ExitCode::FAILURE;
    }
    let built = root().join("target/wasm").join(TARGET).join("web/simseg_web.wasm");
    let wasm = smaller(&built);
    let run = ["run", "--quiet", "--package", "simseg-web", "--bin", "simseg-web", "--"];
    if !succeeds(cargo().args(run).arg("--wasm").arg(&wasm).arg("--out").arg(&out)) {
        return ExitCode::FAILURE;
    }
    if !fits(&out) {
        return ExitCode::FAILURE;
    }
    println!("→ {} (one file, works offline), or serve {}", out.join("simseg.html").display(), out.display());
    if test { tested(&out) } else { ExitCode::SUCCESS }
}

/// A line that says so, counted as one test that was not run.
fn skipped(why: &str) -> ExitCode {
    println!("SKIPPED the live page: {why}");
    println!("test result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
    ExitCode::SUCCESS
}

/// A cargo that can compile to WebAssembly.
fn compiler() -> Option<Command> {
    let print = ["--print", "target-libdir", "--target", TARGET];
    let printed = Command::new("rustc").args(print).current_dir(root()).output().ok()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&printed.stdout).trim());
    let flags = "-C target-feature=+simd128";
    if printed.status.success() && folder.is_dir() {
        let mut command = cargo();
        command.env("RUSTFLAGS", flags);
        return Some(command);
    }
    let here = |path: &str| Path::new(path).exists();
    let linker = (14..30).rev().map(|n| format!("/usr/bin/wasm-ld-{n}")).find(|path| here(path))?;
    if !(here("/usr/bin/cargo") && here("/usr/bin/rustc") && here("/usr/lib/rustlib/src")) {
        return None;
    }
    let mut command = Command::new("/usr/bin/cargo");
    let path = std::env::var("PATH").unwrap_or_default();
    // rustup's variables would lead back to its own compiler.
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTUP_HOME", "RUSTDOC"] {
        command.env_remove(variable);
    }
    command.current_dir(root()).env("PATH", format!("/usr/bin:{path}")).env("RUSTFLAGS", flags);
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    command.arg("-Zbuild-std=std,panic_abort");
    Some(command)
}

fn succeeds(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("xtask: {:?}: {error}", command.get_program());
            false
        }
    }
}

/// The same module after `wasm-opt`, where there is one that understands it.
fn smaller(built: &Path) -> PathBuf {
    let small = built.with_extension("small.wasm");
    let features = [
        "--enable-simd",
        "--enable-bulk-memory",
        "--enable-sign-ext",
        "--enable-nontrapping-float-to-int",
        "--enable-mutable-globals",
    ];
    let mut command = Command::new("wasm-opt");
    command.args(["-O3", "--strip-debug"]).args(features).arg(built).arg("-o").arg(&small).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => small,
        _ => built.to_owned(),
    }
}

/// Says how large it is, and whether that is small enough. Where neither brotli nor gzip is at hand, the module counts as it is.
fn fits(out: &Path) -> bool {
    let size = |name: &str| std::fs::metadata(out.join(name)).map_or(u64::MAX, |data| data.len());
    let packed =
        [("brotli", ["-q", "11", "-c"]), ("gzip", ["-9", "-n", "-c"])].into_iter().find_map(|(program, how)| {
            let out =
                Command::new(program).args(how).arg(out.join("simseg.wasm")).stderr(Stdio::null()).output().ok()?;
            out.status.success().then_some((program, out.stdout.len() as u64))
        });
    let (program, packed) = packed.unwrap_or(("nothing", size("simseg.wasm")));
    println!("compressed by {program}:");
    let found = [size("index.html"), packed];
    let mut fits = true;
    for ((what, most), found) in BUDGETS.into_iter().zip(found) {
        println!("{what}: {found} bytes (at most {most})");
        fits &= found <= most;
    }
    println!(
        "WebAssembly as it is: {} bytes; weights: {}; one file: {}",
        size("simseg.wasm"),
        size("weights.bin"),
        size("simseg.html")
    );
    fits
}

/// A page of `simseg explain` that holds the module: `explained.html`, of a drawn scene.
fn explained(out: &Path) -> bool {
    // Of the whole workspace: with the features of `cargo test --workspace`, so that nothing is compiled twice.
    if !succeeds(cargo().args(["build", "--quiet", "--workspace", "--bin", "simseg"])) {
        return false;
    }
    let simseg = || {
        let mut command =
            Command::new(root().join("target/debug").join(format!("simseg{}", std::env::consts::EXE_SUFFIX)));
        command.current_dir(root()).stdout(Stdio::null());
        command
    };
    let world = out.join("world");
    let _ = std::fs::remove_dir_all(&world);
    if !succeeds(simseg().args(["scenes", "--count", "4", "--seed", "1", "--out"]).arg(&world)) {
        return false;
    }
    let explain = |picture: &Path, page: &str| {
        let mut command = simseg();
        command.args(["explain", "--model", "fixtures/tiny", "--classes"]).arg(world.join("classes.txt"));
        command.arg(picture).arg("--out").arg(out.join(page));
        command
    };
    // What the command line says about pictures that the module is asked about, too.
    let native = out.join("native");
    let _ = std::fs::remove_dir_all(&native);
    let mut pictures = crate::pngs(&root().join("fixtures/pytorch/images"));
    pictures.extend(crate::pngs(&world.join("images")));
    let told = |picture: &PathBuf| {
        let name = picture.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let copied = std::fs::copy(picture, native.join(format!("{name}.png")));
        let json = native.join(format!("{name}.json"));
        copied.is_ok() && succeeds(explain(picture, &format!("native/{name}.html")).arg("--json").arg(json))
    };
    std::fs::create_dir_all(&native).is_ok()
        && pictures.iter().all(told)
        && succeeds(
            explain(&world.join("images/000000.png"), "explained.html").arg("--live").arg(out.join("simseg.wasm")),
        )
}

/// Drives the page in headless Chromium.
fn tested(out: &Path) -> ExitCode {
    let here = |path: &&str| Path::new(path).exists();
    let own = std::env::var("CHROMIUM").ok();
    let known = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].into_iter().find(here);
    let Some(chromium) = own.or(known.map(str::to_owned)) else {
        return skipped("no Chromium (on Debian `apt-get install chromium`, or set CHROMIUM)");
    };
    let quiet =
        |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !["node", "npm"].into_iter().all(|program| quiet(program).is_ok_and(|status| status.success())) {
        return skipped("its tests need node and npm");
    }
    if !explained(out) {
        return ExitCode::FAILURE;
    }
    let tools = root().join("target/web-tools");
    if !tools.join("node_modules/playwright-core").is_dir() {
        let install = ["install", "--no-save", "--no-audit", "--no-fund", "--prefix"];
        let packages = ["playwright-core@1.64.1", "axe-core@4"];
        if std::fs::create_dir_all(&tools).is_err()
            || !succeeds(Command::new("npm").args(install).arg(&tools).args(packages))
        {
            return skipped("npm could not install playwright-core and axe-core");
        }
    }
    let mut node = Command::new("node");
    node.arg(root().join("crates/web/tests/page.mjs")).arg(out).arg(&tools).env("CHROMIUM", chromium);
    if succeeds(&mut node) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
