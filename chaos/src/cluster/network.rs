//! A separate network for a cluster on this machine: a bridge, and a network namespace with an address for every process. Needs
//! root, `ip` (iproute2), `nft` (nftables) and `nsenter` (util-linux).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use weir_local::Host;
use weir_world::err_line;

use super::turn::alone_with_networks;

/// The names of our namespaces begin with this. The id of the process that owns them follows.
const NAMESPACES: &str = "weir-chaos-";
/// The same for the names of our bridges.
const BRIDGES: &str = "wcb";
/// The same for the names of our links to namespaces.
const LINKS: &str = "wcv";

/// The network of a cluster. Networks of processes that run at the same time have different addresses and names. When a network
/// is dropped, everything that belongs to it is removed.
#[derive(Debug)]
pub struct Network {
    owner: u32,
    /// The third byte of its addresses.
    subnet: u8,
    hosts: BTreeMap<String, Ipv4Addr>,
}

/// Which packets are dropped between a host and its peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Packets from the peers and packets to the peers.
    Both,
    /// Packets from the peers.
    In,
    /// Packets to the peers.
    Out,
}

impl Network {
    /// Why such a network can't be made here; `None` if it can.
    pub fn hindrance() -> Option<String> {
        Self::trial("list ruleset")
    }

    /// Why connections can't be redirected in such a network here; `None` if they can.
    pub fn redirection_hindrance() -> Option<String> {
        Self::trial(&redirection("10.213.0.0/24", Ipv4Addr::new(10, 213, 0, 1), 1, 1))
    }

    /// Why nft can't run these commands in a new namespace; `None` if it can.
    fn trial(commands: &str) -> Option<String> {
        let missing = [("ip", "-V"), ("nft", "--version"), ("nsenter", "--version")]
            .into_iter()
            .find(|(program, flag)| run(Command::new(program).arg(flag)).is_err());
        if let Some((program, _)) = missing {
            return Some(format!("{program} is not installed (packages iproute2, nftables, util-linux)"));
        }
        // Permission may be missing, even for root.
        let trial = format!("{NAMESPACES}{}-trial", std::process::id());
        let made = run(Command::new("ip").args(["netns", "add", &trial]));
        let allowed = made.and_then(|_| nft(&trial, commands));
        let removed = run(Command::new("ip").args(["netns", "del", &trial]));
        allowed.and(removed).err().map(|error| format!("network namespaces are not allowed here: {error}"))
    }

    /// Creates a bridge, and a host for each of these names. First removes what killed processes left behind.
    pub fn create(names: &[String]) -> io::Result<Self> {
        remove_leftovers();
        let alone = alone_with_networks();
        let subnet = free_subnet()?;
        let numbered = names.iter().cloned().zip(10_u8..);
        let hosts = numbered.map(|(name, number)| (name, Ipv4Addr::new(10, 213, subnet, number))).collect();
        // From here on, dropping the network removes everything that was created for it.
        let network = Self { owner: std::process::id(), subnet, hosts };
        let bridge = network.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        for address in [network.observer(), network.store(), network.brokers()] {
            ip(&["addr", "add", &format!("{address}/24"), "dev", &bridge])?;
        }
        ip(&["link", "set", &bridge, "up"])?;
        // The bridge has its addresses, so other processes see that the subnet is taken.
        drop(alone);
        for (number, (name, address)) in network.hosts.iter().enumerate() {
            let namespace = network.namespace(name);
            let (here, there) = (format!("{LINKS}{}n{number}", network.owner), format!("wcp{}n{number}", network.owner));
            ip(&["netns", "add", &namespace])?;
            ip(&["link", "add", &here, "type", "veth", "peer", "name", &there])?;
            ip(&["link", "set", &there, "netns", &namespace, "name", "eth0"])?;
            ip(&["link", "set", &here, "master", &bridge, "up"])?;
            let inside = ["-n", namespace.as_str()];
            ip(&[&inside[..], &["addr", "add", &format!("{address}/24"), "dev", "eth0"]].concat())?;
            ip(&[&inside[..], &["link", "set", "eth0", "up"]].concat())?;
            ip(&[&inside[..], &["link", "set", "lo", "up"]].concat())?;
        }
        Ok(network)
    }

    /// Describes where the processes run, by name.
    pub fn hosts(&self) -> BTreeMap<String, Host> {
        let host = |(name, address): (&String, &Ipv4Addr)| {
            let launcher = vec!["nsenter".to_owned(), format!("--net={}", place(&self.namespace(name))), "--".to_owned()];
            (name.clone(), Host { address: IpAddr::V4(*address), launcher, environment: Vec::new() })
        };
        self.hosts.iter().map(host).collect()
    }

    /// The address of this machine on the bridge. Clients use it.
    pub fn observer(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.subnet, 1)
    }

    /// A second address of this machine on the bridge. The proxies of the coordination servers listen on it.
    pub fn store(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.subnet, 2)
    }

    /// A third address of this machine on the bridge. Kafka's nodes listen on it.
    pub fn brokers(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.subnet, 3)
    }

    /// The address of every host.
    pub fn addresses(&self) -> BTreeMap<String, Ipv4Addr> {
        self.hosts.clone()
    }

    /// The namespace of a host, as a file that a thread can enter.
    pub fn namespace_file(&self, name: &str) -> io::Result<File> {
        File::open(place(&self.namespace(name)))
    }

    /// From now on, redirects connections from a host to other hosts to this port of the first host. Connections with the mark
    /// are exempt.
    pub fn redirect(&self, name: &str, port: u16, mark: u32) -> io::Result<()> {
        let own = self.address(name).ok_or_else(|| io::Error::other(format!("there is no host {name}")))?;
        let rules = redirection(&format!("10.213.{}.0/24", self.subnet), own, port, mark);
        nft(&self.namespace(name), &rules).map(|_| ())
    }

    /// The address of a host; `None` if there is no such host.
    pub fn address(&self, name: &str) -> Option<Ipv4Addr> {
        self.hosts.get(name).copied()
    }

    /// From now on, silently drops packets between `name` and these peers in this direction. If `peers` is `None`, all other
    /// hosts are its peers.
    pub fn cut(&self, name: &str, peers: Option<&[Ipv4Addr]>, direction: Direction) -> io::Result<()> {
        let peers = match peers {
            None => format!("10.213.{}.0/24", self.subnet),
            Some(peers) => peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        // The subnet contains the host's own address, too. But packets from a host to itself use lo.
        let rule = |hook: &str, side: &str, interface: &str, wanted: bool| {
            let drop = if wanted { format!("{interface} \"eth0\" ip {side} {{ {peers} }} counter drop;") } else { String::new() };
            format!("chain {hook} {{ type filter hook {hook} priority 0; policy accept; {drop} }}\n")
        };
        let rules = format!(
            "table inet weir {{\n{}{}}}\n",
            rule("input", "saddr", "iifname", direction != Direction::Out),
            rule("output", "daddr", "oifname", direction != Direction::In)
        );
        nft(&self.namespace(name), &rules).map(|_| ())
    }

    /// Undoes [`Network::cut`] for this host. Returns how many packets were dropped.
    pub fn mend(&self, name: &str) -> io::Result<u64> {
        let namespace = self.namespace(name);
        let listed = nft(&namespace, "list table inet weir")?;
        nft(&namespace, "delete table inet weir")?;
        Ok(dropped(&listed))
    }

    /// Ids of the processes that run in a host.
    pub fn processes(&self, name: &str) -> Vec<u32> {
        pids_in(&self.namespace(name))
    }

    fn bridge(&self) -> String {
        format!("{BRIDGES}{}", self.owner)
    }

    fn namespace(&self, name: &str) -> String {
        format!("{NAMESPACES}{}-{name}", self.owner)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        remove_of(self.owner);
    }
}

/// Makes nft run these commands in a namespace. Returns its output.
fn nft(namespace: &str, commands: &str) -> io::Result<String> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", place(namespace))).args(["nft", "-f", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().expect("it is piped").write_all(commands.as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("nft: {}: {}", commands, String::from_utf8_lossy(&output.stderr).trim())))
}

/// Rules that redirect connections to `peers` to a port of this host. Connections to the host's own address are exempt.
fn redirection(peers: &str, own: Ipv4Addr, port: u16, mark: u32) -> String {
    let which = format!("meta mark != {mark} ip daddr {peers} ip daddr != {own} meta l4proto tcp");
    let chain = format!("type nat hook output priority -100; policy accept;\n{which} redirect to :{port}\n");
    format!("table ip weirlinks {{\nchain output {{\n{chain}}}\n}}\n")
}

fn place(namespace: &str) -> String {
    format!("/run/netns/{namespace}")
}

/// The number of packets that rules have dropped, from nft's listing.
fn dropped(listed: &str) -> u64 {
    let after = listed.split("counter packets ").skip(1);
    after.filter_map(|text| text.split(' ').next()?.parse::<u64>().ok()).sum()
}

/// Removes what belongs to processes that died before they cleaned up: the processes, namespaces and bridges of their clusters.
pub fn remove_leftovers() {
    for owner in owners().into_iter().filter(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
        remove_of(owner);
    }
}

/// Ids of the processes that own namespaces and bridges of ours.
fn owners() -> Vec<u32> {
    let namespaces = namespaces().into_iter();
    let bridges = run(Command::new("ip").args(["-o", "link", "show", "type", "bridge"])).unwrap_or_default();
    let bridges: Vec<_> =
        bridges.lines().filter_map(|line| Some(line.split(": ").nth(1)?.strip_prefix(BRIDGES)?.to_owned())).collect();
    let named = namespaces.filter_map(|namespace| Some(namespace.strip_prefix(NAMESPACES)?.split('-').next()?.to_owned()));
    let mut owners: Vec<u32> = named.chain(bridges).filter_map(|owner| owner.trim().parse().ok()).collect();
    owners.sort_unstable();
    owners.dedup();
    owners
}

fn namespaces() -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The network interfaces of this machine.
fn links() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn pids_in(namespace: &str) -> Vec<u32> {
    let listed = run(Command::new("ip").args(["netns", "pids", namespace])).unwrap_or_default();
    listed.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn remove_of(owner: u32) {
    let ours = format!("{NAMESPACES}{owner}-");
    for namespace in namespaces().into_iter().filter(|namespace| namespace.starts_with(&ours)) {
        for pid in pids_in(&namespace) {
            // The process may have ended meanwhile.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        if let Err(error) = ip(&["netns", "del", &namespace]) {
            err_line!("{namespace} could not be removed: {error}");
        }
    }
    // A closed connection with unsent packets keeps its namespace for minutes, and the namespace keeps its link.
    let link = format!("{LINKS}{owner}n");
    for link in links().into_iter().filter(|name| name.starts_with(&link)) {
        // It may just have gone with its namespace.
        if let Err(error) = ip(&["link", "del", &link])
            && links().contains(&link)
        {
            err_line!("{link} could not be removed: {error}");
        }
    }
    let bridge = format!("{BRIDGES}{owner}");
    if Path::new(&format!("/sys/class/net/{bridge}")).exists()
        && let Err(error) = ip(&["link", "del", &bridge])
    {
        err_line!("{bridge} could not be removed: {error}");
    }
}

/// A subnet 10.213.N.0/24 that nothing on this machine uses.
fn free_subnet() -> io::Result<u8> {
    let taken = run(Command::new("ip").args(["-o", "-4", "addr"]))? + &run(Command::new("ip").args(["-4", "route"]))?;
    let start = weir_world::random_id() as u8;
    let free = (0..=u8::MAX).map(|step| start.wrapping_add(step)).find(|subnet| !taken.contains(&format!("10.213.{subnet}.")));
    free.ok_or_else(|| io::Error::other("no subnet of 10.213.0.0/16 is free"))
}

fn ip(arguments: &[&str]) -> io::Result<()> {
    run(Command::new("ip").args(arguments)).map(|_| ())
}

/// Runs a command and returns its output. If it fails, the error contains what it wrote to stderr.
pub(crate) fn run(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_packets_are_counted_over_all_rules() {
        let listed = "table inet weir {\n\tchain input {\n\t\tip saddr 10.0.0.1 counter packets 12 bytes 99 drop\n\t}\n\tchain output {\n\t\t\
                      ip daddr 10.0.0.1 counter packets 3 bytes 4 drop\n\t}\n}";
        assert_eq!(dropped(listed), 15);
        assert_eq!(dropped(""), 0);
    }
}
