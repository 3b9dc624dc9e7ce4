//! Processes that this run starts, and ends.

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, time};

/// A process that ends with this value.
pub(crate) struct Process {
    name: String,
    child: Child,
    /// What it says on standard error, and, unless it is read, on standard output.
    said: PathBuf,
}

impl Process {
    /// Starts a program with as many open files as the system allows it.
    pub(crate) fn start(
        name: &str,
        program: &Path,
        words: &[&str],
        folder: &Folder,
    ) -> io::Result<Self> {
        let said = folder.path().join(format!("{name}.out"));
        let file = fs::File::create(&said)?;
        let mut command = Self::command(program, words);
        command.stdin(Stdio::null());
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn()?;
        let name = name.to_owned();
        Ok(Self { name, child, said })
    }

    /// Starts this very program in another role, and reads the line that it prints.
    pub(crate) fn role(words: &[&str], folder: &Folder) -> io::Result<(Self, String)> {
        let name = words.first().copied().unwrap_or_default().to_owned();
        let said = folder.path().join(format!("{name}.out"));
        let mut command = Self::command(&env::current_exe()?, words);
        // The pipe stays open as long as this value: its end is the end of the role.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(fs::File::create(&said)?).spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        Ok((Self { name, child, said }, line))
    }

    fn command(program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", RAISED, "sh"]).arg(program).args(words);
        command
    }

    /// Waits until it accepts connections.
    pub(crate) async fn listens(&mut self, address: SocketAddr) -> io::Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > LONGEST_START {
                return Err(self.failed("does not listen"));
            }
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// What is resident, as the kernel counts it.
    pub(crate) fn resident_kib(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| self.failed("says nothing of its memory"))
    }

    /// The time that processors have worked for it since its start.
    pub(crate) fn worked(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // What stands before is its number and its name, which may hold spaces.
        let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks = ticks.map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
        match ticks.as_deref() {
            Ok(&[user, system]) => Ok(TICK.saturating_mul((user + system) as u32)),
            _ => Err(self.failed("says nothing of its time")),
        }
    }

    /// An error with what the process said.
    pub(crate) fn failed(&self, what: &str) -> io::Error {
        let said = fs::read_to_string(&self.said).unwrap_or_default();
        io::Error::other(format!("{} {what}\n{said}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of this run, which goes with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("pinfold-load-{}", std::process::id()));
        fs::create_dir(&path)?;
        let folder = Self(path);
        // Squid writes its log as another user.
        everybody(folder.path())?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file at once: whoever reads it sees the old one or the new one.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let (path, new) = (self.0.join(name), self.0.join(format!("{name}.new")));
        fs::write(&new, text)?;
        fs::rename(&new, &path)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn everybody(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777))
}

/// An address on loopback that nobody listens on.
pub(crate) fn free() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

const RAISED: &str = r#"ulimit -n "$(ulimit -H -n)"; exec "$@""#;
pub(crate) const LONGEST_START: Duration = Duration::from_secs(60);
/// `USER_HZ` of every Linux that this runs on.
const TICK: Duration = Duration::from_millis(10);
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
