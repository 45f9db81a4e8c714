//! The sockets of one node: overlay and signalling (each UDP and TCP on one port), media.

use mio::net::{TcpListener, UdpSocket};
use p2piptv::node::Addresses;
use p2piptv::stats::Plane;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Any free ports of one address.
pub fn any(host: IpAddr) -> Addresses {
    let any = SocketAddr::new(host, 0);
    Addresses { overlay: any, signalling: any, media: any }
}

/// The address of this machine from which `peer` is reached. Nothing is sent.
pub fn towards(peer: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr =
        if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

/// Open sockets, not blocking.
#[derive(Debug)]
pub struct Sockets {
    /// RELOAD over datagrams, for plain links and DTLS.
    pub overlay: UdpSocket,
    /// RELOAD over streams, on the same port.
    pub links: TcpListener,
    /// SIP datagrams.
    pub signalling: UdpSocket,
    /// SIP streams, on the same port.
    pub calls: TcpListener,
    /// RTP and RTCP.
    pub media: UdpSocket,
    /// What they are bound to.
    pub addresses: Addresses,
}

/// Receive buffers: 200 ms of several channels beside busy neighbours. The system may give less.
const MEDIA_BUFFER: usize = 4 << 20;
const CONTROL_BUFFER: usize = 1 << 20;

/// How often a free UDP port may turn out to be taken for TCP.
const PORT_ATTEMPTS: usize = 32;

impl Sockets {
    /// Opens all of them; port 0 takes any that is free. An error names the address.
    pub fn open(wanted: Addresses) -> io::Result<Self> {
        let (overlay, links) = pair(wanted.overlay).map_err(|e| at(wanted.overlay, e))?;
        let media = udp(wanted.media, MEDIA_BUFFER).map_err(|e| at(wanted.media, e))?;
        let (signalling, calls) = pair(wanted.signalling).map_err(|e| at(wanted.signalling, e))?;
        let addresses = Addresses {
            overlay: overlay.local_addr()?,
            signalling: signalling.local_addr()?,
            media: media.local_addr()?,
        };
        Ok(Sockets { overlay, links, signalling, calls, media, addresses })
    }

    /// The datagram socket of a plane, and its address.
    pub fn of(&self, plane: Plane) -> (&UdpSocket, SocketAddr) {
        match plane {
            Plane::Overlay => (&self.overlay, self.addresses.overlay),
            Plane::Signalling => (&self.signalling, self.addresses.signalling),
            Plane::Media => (&self.media, self.addresses.media),
        }
    }
}

fn at(address: SocketAddr, error: io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses this port; choose another one, or port 0 for any",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        io::ErrorKind::PermissionDenied => "ports below 1024 are for the administrator",
        _ => return io::Error::new(error.kind(), format!("cannot open {address}: {error}")),
    };
    io::Error::new(error.kind(), format!("cannot open {address}: {advice}"))
}

fn udp(address: SocketAddr, receive_buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // The system may cap or refuse it; a smaller buffer still works.
    let _ = socket.set_recv_buffer_size(receive_buffer);
    let _ = socket.set_send_buffer_size(receive_buffer);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

/// SIP wants the same port for UDP and TCP (RFC 3261 §18.2.1); so has RELOAD (RFC 6940 §14.2).
fn pair(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        let datagrams = udp(address, CONTROL_BUFFER)?;
        match TcpListener::bind(datagrams.local_addr()?) {
            Ok(listener) => return Ok((datagrams, listener)),
            Err(error) if attempts == 1 || error.kind() != io::ErrorKind::AddrInUse => return Err(error),
            Err(_) => attempts -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn each_plane_with_streams_has_one_port_for_them_and_for_datagrams() {
        let sockets = Sockets::open(any(LOOPBACK)).expect("sockets");
        assert_eq!(sockets.calls.local_addr().ok(), Some(sockets.addresses.signalling));
        assert_eq!(sockets.links.local_addr().ok(), Some(sockets.addresses.overlay));
        let ports = [Plane::Overlay, Plane::Signalling, Plane::Media].map(|p| sockets.of(p).1.port());
        assert!(ports.iter().all(|&p| p != 0), "{ports:?}");
    }

    #[test]
    fn loopback_is_reached_from_loopback() {
        assert_eq!(towards(SocketAddr::from((LOOPBACK, 9))).ok(), Some(LOOPBACK));
    }

    #[test]
    fn an_address_that_is_taken_or_not_ours_is_named_with_advice() {
        let taken = Sockets::open(any(LOOPBACK)).expect("sockets");
        let again = Addresses { overlay: taken.addresses.overlay, ..any(LOOPBACK) };
        let error = Sockets::open(again).expect_err("taken").to_string();
        assert!(
            error.contains(&taken.addresses.overlay.to_string()) && error.contains("another one"),
            "{error}"
        );

        let foreign = any(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        let error = Sockets::open(foreign).expect_err("not ours").to_string();
        assert_eq!(error, "cannot open 192.0.2.1:0: this machine has no such address");
    }
}
