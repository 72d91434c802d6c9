//! Programs of `firmware-examples/`: compiled by their own Makefile, booted in QEMU.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::process::Process;
use super::repository;
use super::wait::{free_udp_port, until};

/// Debian's.
const QEMU: &str = "/usr/bin/qemu-system-arm";

/// A cold start reads 50 MB from the disk; this is for a loaded machine.
const START_AT_MOST: Duration = Duration::from_secs(30);

/// A port that was free a moment ago may be taken when QEMU binds it, though hardly thrice in a row.
const PORTS_TRIED: usize = 3;

/// The port of CoAP inside the board.
const COAP_PORT: u16 = 5683;

/// A board that runs a program.
pub struct Firmware {
    process: Process,
}

impl Firmware {
    /// Compiles the example `name` into `folder`; `variables` are those of its Makefile. Gives the
    /// path of the program.
    pub fn build(name: &str, variables: &[&str], folder: &Path) -> Result<PathBuf> {
        let source = repository().join("firmware-examples").join(name);
        let mut make = Command::new("make");
        make.arg("--directory").arg(&source).arg(format!("OUT={}", folder.display()));
        let output = make.args(variables).output().context("cannot start `make`")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` does not compile:\n{said}", source.display());
        }
        let candidates = ["", ".elf"].map(|ending| folder.join(format!("{name}{ending}")));
        candidates.into_iter().find(|path| path.is_file()).context("`make` made no program")
    }

    /// Boots `program` with its serial port on a pseudo-terminal; gives its path as well.
    pub fn on_a_terminal(program: &Path, folder: &Path) -> Result<(Self, PathBuf)> {
        let mut process = start(program, &["-serial", "pty"], folder)?;
        let port = until("QEMU to name a pseudo-terminal", START_AT_MOST, || {
            process.must_run()?;
            let said = process.stdout();
            // `char device redirected to /dev/pts/5 (label serial0)`
            let port = said.split_whitespace().find(|word| word.starts_with("/dev/"));
            Ok(port.filter(|_| said.ends_with('\n')).map(PathBuf::from))
        })?;
        Ok((Self { process }, port))
    }

    /// Boots `program` with its Ethernet on a network of its own inside QEMU; gives the loopback
    /// address that its CoAP port is forwarded to. What the program says goes to `serial.log`.
    pub fn on_a_network(program: &Path, folder: &Path) -> Result<(Self, SocketAddr)> {
        let mut refusal = String::new();
        for _ in 0..PORTS_TRIED {
            let address = free_udp_address()?;
            let nic = format!("user,model=lan9118,hostfwd=udp:{address}-:{COAP_PORT}");
            let mut process =
                start(program, &["-serial", "file:serial.log", "-nic", &nic], folder)?;
            let booted = until("the program to say that it runs", START_AT_MOST, || {
                process.must_run()?;
                let said = std::fs::read_to_string(folder.join("serial.log"));
                Ok(said.unwrap_or_default().contains('\n').then_some(()))
            });
            match booted {
                Ok(()) => return Ok((Self { process }, address)),
                Err(error) => refusal = format!("{error:#}"),
            }
        }
        bail!("QEMU did not start: {refusal}")
    }

    /// Boots `program` with its Ethernet on a wire whose other end is `wire`: frames go as the
    /// datagrams of that socket.
    pub fn on_a_wire(program: &Path, wire: &UdpSocket, folder: &Path) -> Result<Self> {
        let near = free_udp_address()?;
        let far = wire.local_addr().context("a bound socket has an address")?;
        wire.connect(near).context("cannot name the other end of a wire")?;
        let nic = format!("socket,model=lan9118,udp={far},localaddr={near}");
        let process = start(program, &["-serial", "file:serial.log", "-nic", &nic], folder)?;
        Ok(Self { process })
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn start(program: &Path, more: &[&str], folder: &Path) -> Result<Process> {
    let program = program.display().to_string();
    let usual =
        ["-M", "mps2-an385", "-display", "none", "-monitor", "none", "-kernel", program.as_str()];
    let arguments = usual.into_iter().chain(more.iter().copied());
    Process::start("qemu", Path::new(QEMU), arguments, folder)
}

fn free_udp_address() -> Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_udp_port()?)))
}
