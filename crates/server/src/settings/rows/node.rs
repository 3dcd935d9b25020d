//! The node itself, and what it says to other nodes.

use crate::settings::table::{Row, settings};

/// The node itself, and what it says to other nodes.
pub(super) const ROWS: &[Row] = settings! {
    /// The name of this node, `Name@Host`. Host is an address or a name that the other nodes can reach. It cannot change while the node
    /// is a member of a cluster.
    "node.name": Text = "emqx@127.0.0.1" ships "emqx@127.0.0.1";
    /// A file of Erlang terms with the certificates for TLS between nodes.
    "node.ssl_dist_optfile": Text;
    /// The secret that the nodes of a cluster share. It never travels; nodes prove that they know it.
    "node.cookie": Text = "emqxsecretcookie" ships "emqxsecretcookie";
    /// Further cookies that peers may show, separated by commas, so that the cookie can be changed node by node.
    "node.cookie_accept": Text;
    /// The directory of everything that must outlive the process.
    "node.data_dir": Text = "data" ships "data";
    /// The memory within which the node stays whatever clients do: a size, or off for no limit. Without the line: 80 % of what the host or its control group has.
    "node.max_memory": ByteSizeOr["off"];
    /// How many threads carry clients; 0 is one for each core.
    "node.shards": Integer = "0";
    /// Restarts a virtual machine that hangs.
    "node.heartbeat": Flag => NoEffect("there is no Erlang virtual machine here");
    /// The number of threads for file operations of the virtual machine.
    "node.async_threads": Integer => NoEffect("there is no Erlang virtual machine here");
    /// The largest number of processes of the virtual machine.
    "node.process_limit": Integer => NoEffect("there is no Erlang virtual machine here");
    /// The largest number of sockets and files of the virtual machine.
    "node.max_ports": Integer => NoEffect("the limit of the process on open files (ulimit -n) decides");
    /// How many bytes may wait for a peer before senders wait.
    "node.dist_buffer_size": ByteSize => Later("the lanes between nodes have a fixed limit yet");
    /// How often all processes of the virtual machine are collected.
    "node.global_gc_interval": Seconds ships "15m" => NoEffect("there is no Erlang virtual machine here");
    /// How many minor collections come before a full one in the virtual machine.
    "node.fullsweep_after": Integer = "1000" => NoEffect("there is no Erlang virtual machine here");
    /// The largest number of tables in memory of the virtual machine.
    "node.max_ets_tables": Integer = "256000" => NoEffect("there is no Erlang virtual machine here");
    /// The file for the crash dump of the virtual machine.
    "node.crash_dump": File = "log/crash.dump" ships "log/crash.dump" => NoEffect("there is no Erlang virtual machine here");
    /// The time after which a silent peer counts as down, in seconds.
    "node.dist_net_ticktime": Integer => NoEffect("a silent peer is noticed within about two seconds");
    /// The address on which this node waits for its peers.
    "node.dist_use_interface": Text ships "0.0.0.0";
    /// The first port that is tried for peers when WITH_EPMD is set.
    "node.dist_listen_min": Integer ships "6369";
    /// The last port that is tried for peers when WITH_EPMD is set.
    "node.dist_listen_max": Integer ships "6369";
    /// How many frames a backtrace of the virtual machine shows.
    "node.backtrace_depth": Integer = "16" ships "16" => NoEffect("there is no Erlang virtual machine here");
    /// Whether messages are forwarded to other nodes synchronously.
    "rpc.mode": OneOf["sync", "async"] = "async" ships "async" => NoEffect("messages between nodes are batched by themselves, over lanes that resume");
    /// How many messages are forwarded together.
    "rpc.async_batch_size": Integer = "256" ships "256" => NoEffect("messages between nodes are batched by themselves, over lanes that resume");
    /// How the second port between nodes is chosen.
    "rpc.port_discovery": OneOf["manual", "stateless"] = "stateless" ships "stateless" => NoEffect("nodes speak over one port; there is no second one");
    /// The transport of the second port between nodes.
    "rpc.driver": OneOf["tcp", "ssl"] = "tcp" => NoEffect("nodes speak over one port; there is no second one");
    /// The transport with which the second port of a peer is dialled.
    "rpc.default_client_driver": OneOf["tcp", "ssl"] = "tcp" => NoEffect("nodes speak over one port; there is no second one");
    /// The second port between nodes.
    "rpc.tcp_server_port": Integer = "5369" => NoEffect("nodes speak over one port; there is no second one");
    /// The second port between nodes with TLS.
    "rpc.enable_ssl": Integer = "5369" => NoEffect("nodes speak over one port; there is no second one");
    /// The certificate of the second port between nodes.
    "rpc.certfile": Text => NoEffect("nodes speak over one port; there is no second one");
    /// The private key of the second port between nodes.
    "rpc.keyfile": Text => NoEffect("nodes speak over one port; there is no second one");
    /// The authorities of the second port between nodes.
    "rpc.cacertfile": Text => NoEffect("nodes speak over one port; there is no second one");
    /// The address of the second port between nodes.
    "rpc.tcp_server_ip": Text = "0.0.0.0" => NoEffect("nodes speak over one port; there is no second one");
    /// How many connections a node opens to the second port of each peer.
    "rpc.tcp_client_num": Integer = "0" => NoEffect("messages between nodes are batched by themselves, over lanes that resume");
    /// How long a connection to a peer's second port may take.
    "rpc.connect_timeout": Duration = "5s" ships "5s" => NoEffect("nodes speak over one port; there is no second one");
    /// How long sending to a peer's second port may take.
    "rpc.send_timeout": Duration = "5s" ships "5s" => NoEffect("messages between nodes are batched by themselves, over lanes that resume");
    /// How long the handshake on a peer's second port may take.
    "rpc.authentication_timeout": Duration = "5s" ships "5s" => NoEffect("nodes speak over one port; there is no second one");
    /// How long the answer of a peer may take.
    "rpc.call_receive_timeout": Duration = "15s" ships "15s" => NoEffect("messages between nodes are batched by themselves, over lanes that resume");
    /// After how much silence the kernel probes a peer.
    "rpc.socket_keepalive_idle": Seconds = "7200s" ships "900s" => NoEffect("nodes speak over one port; there is no second one");
    /// How often the kernel probes a silent peer.
    "rpc.socket_keepalive_interval": Seconds = "75s" ships "75s" => NoEffect("nodes speak over one port; there is no second one");
    /// After how many probes without an answer the kernel gives a peer up.
    "rpc.socket_keepalive_count": Integer = "9" ships "9" => NoEffect("nodes speak over one port; there is no second one");
    /// The kernel's send buffer between nodes.
    "rpc.socket_sndbuf": ByteSize = "1MB" ships "1MB" => NoEffect("the kernel sizes these buffers better than a fixed number");
    /// The kernel's receive buffer between nodes.
    "rpc.socket_recbuf": ByteSize = "1MB" ships "1MB" => NoEffect("the kernel sizes these buffers better than a fixed number");
    /// The user-level buffer between nodes.
    "rpc.socket_buffer": ByteSize = "1MB" ships "1MB" => NoEffect("the kernel sizes these buffers better than a fixed number");
    /// Whether peers may still authenticate in the old, insecure way.
    "rpc.insecure_fallback": OneOf["true", "false"] = "true" => NoEffect("the cookie never travels; there is no old handshake");
};
