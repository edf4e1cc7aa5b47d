//! A browser without a screen, controlled by WebDriver (W3C) and the commands that chromedriver adds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// A session. It ends when it is dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// chromedriver writes to it until it ends.
    _output: BufReader<ChildStdout>,
}

impl Browser {
    pub fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver does not run ({error}): run tests/install.sh ecosystem"));
        let mut output = BufReader::new(driver.stdout.take().expect("a pipe"));
        let port = output.by_ref().lines().map_while(Result::ok).find_map(|line| {
            line.split_once("was started successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let port = port.expect("chromedriver prints its port");
        let mut browser = Self { driver, port, session: String::new(), _output: output };
        let capabilities = json!({
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            // In a container the tests run as root, which Chromium's sandbox does not support.
            "goog:chromeOptions": {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]},
        });
        let session = browser.post("/session", &json!({"capabilities": {"alwaysMatch": capabilities}}));
        session["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        browser
    }

    /// Opens a page, and discards earlier log entries.
    pub fn open(&self, page: &Path) {
        for log in ["browser", "performance"] {
            self.log(log);
        }
        self.command("/url", &json!({"url": format!("file://{}", page.display())}));
    }

    pub fn evaluate(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({"script": format!("return {script}"), "args": []}))
    }

    /// Sets the size of the window's content, in CSS pixels.
    pub fn set_size(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.cdp("Emulation.setDeviceMetricsOverride", &size);
    }

    pub fn set_media(&self, scheme: &str, media: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.cdp("Emulation.setEmulatedMedia", &json!({"media": media, "features": features}));
    }

    pub fn set_scripts(&self, are_run: bool) {
        self.cdp("Emulation.setScriptExecutionDisabled", &json!({"value": !are_run}));
    }

    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.command("/element", &json!({"using": "css selector", "value": selector}));
        let element = element.as_object().and_then(|element| element.values().next()).expect("an element");
        let element = element.as_str().expect("its name");
        self.command(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    /// Returns errors and warnings of the console. They include violations of the page's security policy.
    pub fn complaints(&self) -> Vec<String> {
        self.log("browser").iter().map(|entry| format!("{} {}", entry["level"], entry["message"])).collect()
    }

    /// Returns the URLs requested since the page was opened, including the page.
    pub fn requests(&self) -> Vec<String> {
        let events = self.log("performance");
        let events = events.iter().map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str().expect("a message")).expect("an event")
        });
        let sent = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["message"]["params"]["request"]["url"].as_str().expect("a URL").to_owned()).collect()
    }

    /// Writes an image of the whole page into the folder of the build, and returns its path.
    pub fn screenshot(&self, name: &str) -> PathBuf {
        self.capture(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), true)
    }

    /// What the window shows.
    pub fn screenshot_window(&self, file: &Path) -> PathBuf {
        self.capture(file, false)
    }

    fn capture(&self, file: &Path, is_whole: bool) -> PathBuf {
        let parameters = json!({"format": "png", "captureBeyondViewport": is_whole});
        let shot = self.cdp("Page.captureScreenshot", &parameters);
        let image = BASE64_STANDARD.decode(shot["data"].as_str().expect("an image")).expect("base64");
        let file = file.with_extension("png");
        std::fs::write(&file, image).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        file
    }

    fn log(&self, name: &str) -> Vec<Value> {
        self.command("/se/log", &json!({"type": name})).as_array().expect("a log").clone()
    }

    fn cdp(&self, method: &str, parameters: &Value) -> Value {
        self.command("/goog/cdp/execute", &json!({"cmd": method, "params": parameters}))
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.post(&format!("/session/{}{path}", self.session), body)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let answer = self.request("POST", path, &body.to_string());
        let mut answer: Value = serde_json::from_str(&answer).expect("chromedriver answers in JSON");
        let hint = if path == "/session" { "; if chromium is missing, run tests/install.sh ecosystem" } else { "" };
        assert_eq!(answer["value"]["error"], Value::Null, "{path}: {answer}{hint}");
        answer["value"].take()
    }

    fn request(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).expect("chromedriver reads");
        let mut answer = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            answer.read_line(&mut line).expect("chromedriver answers within a minute");
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().expect("a number");
                }
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        answer.read_exact(&mut body).expect("chromedriver answers within a minute");
        String::from_utf8(body).expect("UTF-8")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            self.request("DELETE", &format!("/session/{}", self.session), "");
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
