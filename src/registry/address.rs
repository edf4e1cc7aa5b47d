//! Addresses that a registry must not make a client connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of clouds' metadata services that are not link-local: of AWS, Azure, Alibaba Cloud and Oracle Cloud.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Names of metadata services, which a proxy would resolve.
const METADATA_NAMES: [&str; 2] = ["metadata.google.internal", "metadata.goog"];

/// Returns whether an address is link-local, multicast, or of a metadata service.
pub(super) fn is_forbidden(address: IpAddr) -> bool {
    let address = inner(address);
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_link_local || address.is_multicast() || METADATA.contains(&address)
}

/// Returns whether an address is this machine: a loopback address, or an unspecified one, which connects to it.
pub(super) fn is_local(address: IpAddr) -> bool {
    let address = inner(address);
    address.is_loopback() || address.is_unspecified()
}

/// Returns whether a host is the name of a metadata service.
pub(super) fn is_forbidden_name(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    METADATA_NAMES.iter().any(|name| host.eq_ignore_ascii_case(name))
}

/// Returns the IPv4 address that an IPv6 address stands for: mapped, or of the NAT64 prefix `64:ff9b::/96`.
fn inner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_link_local_addresses_are_forbidden() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(is_forbidden(address.parse().unwrap()), "{address}");
        }
        for address in ["10.0.0.1", "127.0.0.1", "fd00::1", "192.0.2.1", "::1"] {
            assert!(!is_forbidden(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "0.0.0.0", "::", "::1", "::ffff:127.0.0.1"] {
            assert!(is_local(address.parse().unwrap()), "{address}");
        }
        assert!(is_forbidden_name("Metadata.Google.Internal.") && !is_forbidden_name("quay.io"));
    }
}
