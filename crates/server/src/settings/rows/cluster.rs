//! Who belongs together, and how nodes find one another.

use crate::settings::table::{Row, settings};

/// Who belongs together, and how nodes find one another.
pub(super) const ROWS: &[Row] = settings! {
    /// The name of the cluster. Discovery by mcast and etcd keeps clusters apart by it; nodes that are joined by hand may have
    /// different ones.
    "cluster.name": Atom = "emqxcl" ships "emqxcl";
    /// How nodes find one another: manual, static, mcast, dns, etcd or k8s. With manual nothing happens until `emqx_ctl cluster join`
    /// is typed.
    "cluster.discovery": Atom = "manual" ships "manual";
    /// A member that has been down for so long is forgotten. It is welcome back with its data. To keep absent members for ever, leave
    /// the line out.
    "cluster.autoclean": Duration ships "5m";
    /// After a partition the sides come together again by themselves. off: they stay apart until `emqx_ctl cluster heal`.
    "cluster.autoheal": Flag = "off" ships "on";
    /// With an automatic strategy, how long the listeners stay closed at most while the first round of discovery goes on.
    "cluster.join_wait": Duration = "5s";
    /// The full names of nodes to join, separated by commas.
    "cluster.static.seeds": Text;
    /// The multicast group.
    "cluster.mcast.addr": Text = "239.192.0.1";
    /// The UDP ports, in order of preference; the first one that is free is used.
    "cluster.mcast.ports": Text = "4369";
    /// The address of the interface on which the group is joined.
    "cluster.mcast.iface": Text = "0.0.0.0";
    /// How many routers a datagram may cross; 255 is no limit.
    "cluster.mcast.ttl": Integer = "255";
    /// Whether nodes on the same host hear one another.
    "cluster.mcast.loop": Flag = "on";
    /// The send buffer of the multicast socket.
    "cluster.mcast.sndbuf": ByteSize = "16KB" => NoEffect("it never had one in EMQ X either");
    /// The receive buffer of the multicast socket.
    "cluster.mcast.recbuf": ByteSize = "16KB" => NoEffect("it never had one in EMQ X either");
    /// The user-level buffer of the multicast socket.
    "cluster.mcast.buffer": ByteSize = "32KB" => NoEffect("it never had one in EMQ X either");
    /// The name whose records list the nodes.
    "cluster.dns.name": Text;
    /// The transport between nodes: TCP over IPv4, TCP over IPv6, or TLS. All nodes of a cluster have the same.
    "cluster.proto_dist": OneOf["inet_tcp", "inet6_tcp", "inet_tls"] = "inet_tcp" ships "inet_tcp";
    /// The part before `@` of the node names that are made from the records.
    "cluster.dns.app": Text;
    /// Which records are asked for: a, aaaa, or srv.
    "cluster.dns.type": OneOf["a", "aaaa", "srv"] = "a";
    /// The URLs of the etcd servers, separated by commas.
    "cluster.etcd.server": Text;
    /// The directory in etcd under which the cluster keeps its entries.
    "cluster.etcd.prefix": Text = "emqcl";
    /// How long the entry of a node outlives the node.
    "cluster.etcd.node_ttl": Duration = "1m";
    /// The version of etcd's API: v3, v2, or auto, which takes v3 when the server has it.
    "cluster.etcd.version": OneOf["auto", "v3", "v2"] = "auto";
    /// The user name for etcd.
    "cluster.etcd.username": Text;
    /// The password for etcd.
    "cluster.etcd.password": Text;
    /// The private key for TLS with etcd.
    "cluster.etcd.ssl.keyfile": Text;
    /// The certificate for TLS with etcd.
    "cluster.etcd.ssl.certfile": Text;
    /// The certificates of the authorities that may sign etcd's.
    "cluster.etcd.ssl.cacertfile": Text;
    /// The URL of the API server.
    "cluster.k8s.apiserver": Text;
    /// The service whose endpoints are the nodes.
    "cluster.k8s.service_name": Text;
    /// What a node's host is made of: ip, dns or hostname.
    "cluster.k8s.address_type": OneOf["ip", "dns", "hostname"] = "ip";
    /// The part before `@` of the node names.
    "cluster.k8s.app_name": Text;
    /// The namespace of the service.
    "cluster.k8s.namespace": Text;
    /// What is put behind a dns or hostname address, such as `pod.cluster.local`.
    "cluster.k8s.suffix": Text;
};
