//! Other people's load generators, as programs: what each did and the processor time it took.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

/// nginx with one worker in a folder of its own; it ends with this value.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) port: u16,
    _dir: tempfile::TempDir,
}

impl Nginx {
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let program = find("nginx").ok_or("nginx is not installed")?;
        let dir = tempfile::tempdir()?;
        // A port that was free a moment ago; nginx cannot be asked for any.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let root = dir.path().display();
        let config = format!(
            "worker_processes 1; daemon off; master_process off; pid {root}/pid; error_log {root}/log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;\n\
             client_body_temp_path {root}/a; proxy_temp_path {root}/b; fastcgi_temp_path {root}/c;\n\
             uwsgi_temp_path {root}/d; scgi_temp_path {root}/e;\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ default_type text/plain;\n\
             return 200 \"hello, world\\n\"; }} }} }}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), config)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(dir.path().join("nginx.conf")).arg("-p").arg(dir.path());
        let child = command.stderr(Stdio::null()).spawn()?;
        let nginx = Self { child, port, _dir: dir };
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(nginx);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err("nginx does not answer".into())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A rival: how it is called, started, and where its count of requests stands.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    program: PathBuf,
    args: Args,
    requests: Count,
}

/// The arguments for a URL and seconds.
type Args = fn(&str, u64) -> Vec<String>;

/// The requests that an output counts.
type Count = fn(&str) -> Option<f64>;

const FILE: &str = "from locust import FastHttpUser, task, constant\n\
    class U(FastHttpUser):\n    wait_time = constant(0)\n    @task\n    def get(self):\n        \
    with self.client.get('/', catch_response=True) as r:\n            \
    r.success() if r.text.startswith('hello') else r.failure('body')\n";

/// Those that are installed; the others are named aloud. `TIDEMILL_LOCUST` may name locust's program.
pub(crate) fn installed(dir: &Path) -> Result<Vec<Program>, Box<dyn Error>> {
    std::fs::write(dir.join("locustfile.py"), FILE)?;
    let all: [(&'static str, Args, Count); 3] = [
        (
            "wrk",
            |url, seconds| words(&format!("-t1 -c32 -d{seconds} {url}")),
            |text| text.lines().find_map(|line| line.trim().split_once(" requests in")?.0.parse().ok()),
        ),
        (
            "oha",
            |url, seconds| words(&format!("--no-tui -c 32 -z {seconds}s --output-format json {url}")),
            |text| {
                let json: serde_json::Value = serde_json::from_str(text).ok()?;
                let counts = json.get("statusCodeDistribution")?.as_object()?;
                Some(counts.values().filter_map(serde_json::Value::as_f64).sum())
            },
        ),
        (
            "locust",
            |url, seconds| {
                words(&format!(
                    "--headless -u 32 -r 32 -t {seconds}s --stop-timeout 1 --json --skip-log --host {}",
                    url.trim_end_matches('/')
                ))
            },
            |text| {
                let json: serde_json::Value =
                    serde_json::from_str(text.get(text.find('[')?..)?.trim()).ok()?;
                json.get(0)?.get("num_requests")?.as_f64()
            },
        ),
    ];
    let mut found = Vec::new();
    for (name, args, requests) in all {
        match program(name) {
            Ok(program) => found.push(Program { name, program, args, requests }),
            Err(why) => eprintln!("SKIPPED {name}: {why}"),
        }
    }
    Ok(found)
}

/// Where a program is, or why it cannot be run and what to do.
fn program(name: &str) -> Result<PathBuf, String> {
    let variable = format!("TIDEMILL_{}", name.to_uppercase());
    match std::env::var_os(&variable).map(PathBuf::from) {
        Some(named) if named.is_file() => Ok(named),
        Some(named) => Err(format!(
            "{variable} names {}, where no file is; let it name the program itself, or unset it and put {name} on the PATH",
            named.display()
        )),
        None => find(name)
            .ok_or_else(|| format!("it is not on the PATH; install it, or let {variable} name the program")),
    }
}

impl Program {
    /// Requests per second of its processor time.
    pub(crate) fn run(&self, url: &str, seconds: u64, dir: &Path) -> Result<f64, Box<dyn Error>> {
        let before = children()?;
        let output = Command::new(&self.program)
            .args((self.args)(url, seconds))
            .current_dir(dir)
            .stderr(Stdio::null())
            .output()
            .map_err(|error| {
                let (program, name) = (self.program.display(), self.name.to_uppercase());
                format!("cannot start {program}: {error}; let TIDEMILL_{name} name a program that runs here")
            })?;
        let cpu = children()? - before;
        let text = String::from_utf8_lossy(&output.stdout);
        let requests =
            (self.requests)(&text).ok_or_else(|| format!("{} says no count: {text}", self.name))?;
        Ok(requests / cpu)
    }
}

/// Seconds of processor time of all children that have ended.
fn children() -> Result<f64, Box<dyn Error>> {
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((used.user_time().num_microseconds() + used.system_time().num_microseconds()) as f64 / 1e6)
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push(PathBuf::from("/usr/sbin"));
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}
