//! Assembles the page: `simseg-web --wasm FILE --out DIR`, as `cargo xtask web` calls it.
//!
//! Leaves `index.html` with `simseg.wasm` and `weights.bin` beside it, for a server; `simseg.html`, the same in one file, to be opened as
//! it is; and `check.json`, questions with their native answers, which WebAssembly has to give too.

use serde_json::{Value, json};
use simseg::explanation::palette::heat;
use simseg_data::{Picture, World};
use simseg_web::small::Aligner;
use simseg_web::world::{SceneRequest, encoded};
use simseg_web::{Desk, desk};
use std::error::Error;
use std::path::{Path, PathBuf};

/// Steps of the trainings that the page brings along.
const STEPS: u64 = 240;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> std::process::ExitCode {
    match run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("simseg-web: {error}");
            std::process::ExitCode::from(2)
        }
    }
}

fn run() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [wasm_flag, wasm, out_flag, out] = &arguments[..] else { return Err("expected --wasm FILE --out DIR".into()) };
    if (wasm_flag.as_str(), out_flag.as_str()) != ("--wasm", "--out") {
        return Err("expected --wasm FILE --out DIR".into());
    }
    let (wasm, out) = (std::fs::read(wasm)?, PathBuf::from(out));
    std::fs::create_dir_all(&out)?;
    let mut points = vec![];
    let weights = desk::trained(STEPS, |aligner, share| points.push((aligner, share)))?;
    for (aligner, share) in &points {
        println!("{aligner:?}: point on object {share:.2} after {STEPS} steps");
    }
    let mut desk = Desk::default();
    for (aligner, weights) in Aligner::ALL.into_iter().zip(&weights) {
        asked(&mut desk, &json!({ "what": "load", "aligner": aligner, "weights": encoded(weights) }))?;
    }
    let page = page(&mut desk, &points)?;
    let weights = weights.concat();
    let inline = format!(
        "<script type=\"text/plain\" id=\"wasm\">{}</script>\n<script type=\"text/plain\" id=\"weights\">{}</script>",
        encoded(&wasm),
        encoded(&weights)
    );
    std::fs::write(out.join("index.html"), page.replace("<!--inline-->", ""))?;
    std::fs::write(out.join("simseg.html"), page.replace("<!--inline-->", &inline))?;
    std::fs::write(out.join("simseg.wasm"), &wasm)?;
    std::fs::write(out.join("weights.bin"), &weights)?;
    std::fs::write(out.join("check.json"), check(&mut desk)?.to_string())?;
    Ok(())
}

fn asked(desk: &mut Desk, request: &Value) -> Outcome<Value> {
    let answer: Value = serde_json::from_str(&desk.answer(&request.to_string()))?;
    match answer.get("error") {
        Some(error) => Err(format!("{request}: {error}").into()),
        None => Ok(answer),
    }
}

/// The page with style, script, sources and first pictures in their places.
fn page(desk: &mut Desk, points: &[(Aligner, f64)]) -> Outcome<String> {
    let read = |name: &str| -> Outcome<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("page").join(name);
        Ok(std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?)
    };
    let names = ["bridge.js", "draw.js", "state.js", "scene.js", "steps.js", "training.js", "main.js"];
    let script = names.into_iter().map(read).collect::<Outcome<Vec<String>>>()?;
    let page = read("index.html")?
        .replace("<!--style-->", &read("style.css")?)
        .replace("<!--script-->", &script.concat())
        .replace("<!--worker-->", &read("../../lab/templates/worker.js")?)
        .replace("<!--first-->", &first(desk, points)?);
    let mut parts = page.split("<!--source ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (named, rest) = part.split_once("-->").ok_or("a source without an end")?;
        let (path, signature) = named.split_once(' ').ok_or("a source without a signature")?;
        text.push_str(&source(path, signature)?);
        text.push_str(rest);
    }
    Ok(text)
}

/// The function that computes what stands above, as it is in the repository.
fn source(path: &str, signature: &str) -> Outcome<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))?;
    let lines: Vec<&str> = text.lines().collect();
    let found = lines.iter().position(|line| line.contains(signature));
    let first = found.ok_or_else(|| format!("{path}: no `{signature}`"))?;
    let indent = lines[first].len() - lines[first].trim_start().len();
    let end = format!("{}}}", " ".repeat(indent));
    let length = lines[first..]
        .iter()
        .position(|line| *line == end)
        .ok_or_else(|| format!("{path}: `{signature}` without end"))?;
    let body: Vec<&str> = lines[first..=first + length].iter().map(|line| line.get(indent..).unwrap_or("")).collect();
    let body = body.join("\n").replace('&', "&amp;").replace('<', "&lt;");
    let place = format!("{path}, line {}", first + 1);
    Ok(format!(
        "<details class=\"source\"><summary>computed by {place}</summary><pre tabindex=\"0\"><code>{body}</code></pre></details>"
    ))
}

/// The first paint: the first scene of one object, three maps, one sentence.
fn first(desk: &mut Desk, points: &[(Aligner, f64)]) -> Outcome<String> {
    let drawn = |index: u64| SceneRequest { index, ..SceneRequest::default() }.draw();
    let (mut index, mut shown) = (0, drawn(0)?);
    while shown.composition.as_ref().is_some_and(|composition| composition.objects.len() != 1) {
        index += 1;
        shown = drawn(index)?;
    }
    let composition = shown.composition.ok_or("a drawn scene")?;
    let class = usize::from(composition.objects[0].class);
    let word = World::classes()[class];
    let caption = desk::right_caption(&composition);
    let request = json!({ "what": "look", "scene": { "index": index }, "word": word, "caption": caption, "k": [3, 1] });
    let seen = asked(desk, &request)?;
    let image = |picture: &Picture| format!("data:image/png;base64,{}", encoded(&picture.png()));
    let mut figures = format!(
        "<figure><img src=\"{}\" width=\"64\" height=\"64\" alt=\"a drawn scene: {caption}\"><figcaption>scene {index}</figcaption></figure>",
        image(&shown.picture)
    );
    for aligner in ["holistic", "dense", "loda"] {
        let map: Vec<f32> = serde_json::from_value(seen["models"][aligner]["map"].clone())?;
        let (low, high) = map.iter().fold((f32::MAX, f32::MIN), |(low, high), &x| (low.min(x), high.max(x)));
        let rgb = map.iter().flat_map(|x| heat((x - low) / (high - low).max(1e-9))).collect();
        let picture = Picture { width: 8, height: 8, rgb };
        let title = if aligner == "loda" { "LoDA" } else { aligner };
        figures += &format!(
            "<figure><img src=\"{}\" width=\"64\" height=\"64\" alt=\"map of {word} by the {title} model\"><figcaption><b class=\"{aligner}\">{title}</b> asked for “{word}”</figcaption></figure>",
            image(&picture)
        );
    }
    let share =
        |aligner: Aligner| points.iter().find(|(one, _)| *one == aligner).map_or(0.0, |(_, share)| 100.0 * share);
    Ok(format!(
        "<div class=\"row first\">{figures}</div>\n<p><b>The first scene with one object, as it came.</b> Over 40 such scenes the brightest patch lies on the object \
         it was asked for {:.0}% of the time after holistic, {:.0}% after dense and {:.0}% after LoDA training of {STEPS} steps: captions name the context more \
         reliably than the object, and only strong single responses get past it.</p>",
        share(Aligner::Holistic),
        share(Aligner::Dense),
        share(Aligner::Loda)
    ))
}

/// Questions of every kind with native answers; `weights.bin` is loaded before.
fn check(desk: &mut Desk) -> Outcome<Value> {
    let crf = json!({ "kind": "crf", "labels": "class-or-rest", "image": "exact", "closing": "off" });
    let ask = |aligner: Aligner, index: u64, recipe: Value| json!({ "aligner": aligner, "scene": { "index": index }, "k": [3, 1], "recipe": recipe });
    let explain = |ask: Value| {
        let mut request = ask;
        request["what"] = "explain".into();
        request
    };
    let mut requests: Vec<Value> = vec![json!({ "what": "facts" })];
    for aligner in Aligner::ALL {
        requests.push(explain(ask(aligner, 1, json!({}))));
        requests.push(explain(ask(aligner, 4, json!({ "refine": crf }))));
    }
    requests.push(json!({ "what": "terms", "class": 2, "patch": 9, "versus": -1 }));
    requests.push(json!({ "what": "pixel", "x": 30, "y": 12 }));
    requests.push(json!({ "what": "rules", "ask": ask(Aligner::Loda, 2, json!({})), "dial": { "k": 1.0 } }));
    requests.push(json!({ "what": "look", "scene": { "index": 3, "context": 2 }, "word": "zebra", "caption": "a fish in the sea.", "k": [5, 2] }));
    requests.push(json!({ "what": "train", "aligner": "loda", "steps": 3, "batch": 8 }));
    requests.push(json!({ "what": "step", "count": 2 }));
    requests.push(json!({ "what": "exercise", "number": 1, "answer": 6.5 }));
    let answers = requests.iter().map(|request| asked(desk, request)).collect::<Outcome<Vec<Value>>>()?;
    Ok(json!({ "requests": requests, "answers": answers }))
}
