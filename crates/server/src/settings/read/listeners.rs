//! Listeners: where clients connect.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Reader, Zones};
use crate::settings::typed::{
    AccessRule, CertPart, Listener, ListenerTls, Origins, Protocol, RevocationLists, RevocationPace, Secret,
    Stapling, WebSocket,
};
use crate::settings::value;

/// All listeners that have an address.
pub(super) fn listeners(reader: &mut Reader, zones: &Zones) -> Vec<Listener> {
    let mut found = Vec::new();
    for protocol in Protocol::ALL {
        let prefix = format!("listener.{}", protocol.word());
        for name in reader.names_under(&prefix) {
            let base = format!("{prefix}.{name}");
            // Options without an address are options of nothing, as in EMQ X.
            let Some(address) = reader.set(&base).and_then(|text| value::listen(&text).ok()) else {
                continue;
            };
            found.push(listener(reader, zones, protocol, name, &base, address));
        }
    }
    found
}

/// When revocation lists are fetched.
pub(super) fn revocation(reader: &mut Reader) -> RevocationPace {
    RevocationPace {
        every: reader.duration("crl_cache_refresh_interval"),
        limit: reader.duration("crl_cache_http_timeout"),
    }
}

fn listener(
    reader: &mut Reader,
    zones: &Zones,
    protocol: Protocol,
    name: String,
    base: &str,
    address: value::ListenAddress,
) -> Listener {
    let key = |rest: &str| format!("{base}.{rest}");
    let zone_name = reader.string(&key("zone"));
    let zone = zones.get(&zone_name).map(Arc::clone).expect("every zone that a listener names has been made");
    let secure = matches!(protocol, Protocol::Ssl | Protocol::Wss | Protocol::Quic);
    let websocket = matches!(protocol, Protocol::Ws | Protocol::Wss);
    let proxy_timeout = reader.parsed(&key("proxy_protocol_timeout"), value::duration);
    let proxy = reader.flag(&key("proxy_protocol"));
    let nodelay = reader.text(&key("nodelay")).map(|text| text == "true");
    let size = |reader: &mut Reader, rest: &str| {
        reader.size(&key(rest)).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    };
    Listener {
        protocol,
        address,
        zone,
        max_connections: reader.number(&key("max_connections")).unwrap_or(1024),
        max_conn_rate: reader.limit(&key("max_conn_rate")),
        backlog: reader.number(&key("backlog")).unwrap_or(1024),
        rate_limit: reader.rate(&key("rate_limit")),
        access: access(reader, base),
        proxy_protocol: (proxy && protocol != Protocol::Quic)
            .then(|| proxy_timeout.unwrap_or(Duration::from_secs(3))),
        send_timeout: reader.duration(&key("send_timeout")),
        send_timeout_close: reader.flag(&key("send_timeout_close")),
        recbuf: size(reader, "recbuf"),
        sndbuf: size(reader, "sndbuf"),
        nodelay,
        peer_cert_as_username: cert_part(reader, &key("peer_cert_as_username")),
        peer_cert_as_clientid: cert_part(reader, &key("peer_cert_as_clientid")),
        tls: secure.then(|| tls(reader, protocol, &key)),
        websocket: websocket.then(|| ws(reader, &key)),
        name,
    }
}

fn tls(reader: &mut Reader, protocol: Protocol, key: &dyn Fn(&str) -> String) -> ListenerTls {
    // Secure WebSocket has no time-out of its own for the handshake in 4.4; it is as long as that of TLS.
    let handshake =
        if protocol == Protocol::Wss { None } else { Some(reader.duration(&key("handshake_timeout"))) };
    let verify = reader.text(&key("verify"));
    let verify_peer = match verify.as_deref() {
        Some("verify_peer") => true,
        None | Some("verify_none") => false,
        Some(other) => {
            let why = format!("\"{other}\" is neither verify_peer nor verify_none");
            reader.invalid(&key("verify"), &why);
            false
        }
    };
    // 4.4 has these for TLS alone.
    let of_ssl = protocol != Protocol::Wss;
    let ext_key_usage =
        if of_ssl { ext_key_usage(reader, &key("verify_peer_ext_key_usage")) } else { Vec::new() };
    let partial_chain = if of_ssl { reader.text(&key("partial_chain")) } else { None };
    let crl_urls = if of_ssl { reader.list(&key("crl_cache_urls")) } else { Vec::new() };
    let crl_check = of_ssl && reader.truth(&key("enable_crl_check"));
    let crl_file = reader.path(&key("crlfile"));
    let revoked = (crl_check || crl_file.is_some())
        .then_some(RevocationLists { file: crl_file, urls: if crl_check { crl_urls } else { Vec::new() } });
    if let Some(RevocationLists { file: None, urls }) = &revoked
        && urls.is_empty()
    {
        reader.invalid(&key("enable_crl_check"), "crlfile or crl_cache_urls must say where the lists are");
    }
    if revoked.is_some() && !verify_peer {
        reader.invalid(
            &key("verify"),
            "must be verify_peer where certificates are looked up in revocation lists",
        );
    }
    ListenerTls {
        certificates: certificates(reader, key),
        cacertfile: reader.path(&key("cacertfile")),
        verify_peer,
        fail_if_no_peer_cert: reader.truth(&key("fail_if_no_peer_cert")),
        versions: reader.list(&key("tls_versions")),
        ciphers: reader.list(&key("ciphers")),
        honor_cipher_order: reader.flag(&key("honor_cipher_order")),
        reuse_sessions: reader.flag(&key("reuse_sessions")),
        handshake_timeout: handshake.unwrap_or(Duration::from_secs(15)),
        depth: reader.number(&key("depth")).unwrap_or(10),
        partial_chain: match partial_chain.as_deref() {
            Some("true" | "cacert_from_cacertfile") => Some(1),
            Some("two_cacerts_from_cacertfile") => Some(2),
            _ => None,
        },
        ext_key_usage,
        revoked,
        stapling: if of_ssl { stapling(reader, key) } else { None },
        key_password: reader.text(&key("key_password")).map(Secret::new),
    }
}

fn stapling(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Option<Stapling> {
    let on = reader.truth(&key("enable_ocsp_stapling"));
    let url = reader.text(&key("ocsp_responder_url"));
    let issuer = reader.path(&key("ocsp_issuer_pem"));
    let every = reader.duration(&key("ocsp_refresh_interval"));
    let limit = reader.duration(&key("ocsp_refresh_http_timeout"));
    if on {
        for (rest, missing) in [("ocsp_responder_url", url.is_none()), ("ocsp_issuer_pem", issuer.is_none())]
        {
            if missing {
                reader.invalid(&key(rest), "must be set where enable_ocsp_stapling is true");
            }
        }
    }
    let (url, issuer) = (url?, issuer?);
    on.then_some(Stapling { url, issuer, every, limit })
}

/// Chains and keys, which belong together by their order.
fn certificates(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> Vec<(PathBuf, PathBuf)> {
    let mut files = |rest: &str| -> Vec<PathBuf> {
        let files: Vec<PathBuf> = reader.list(&key(rest)).iter().map(|file| reader.root.join(file)).collect();
        if files.is_empty() {
            reader.invalid(&key(rest), "must be set, as the listener speaks TLS");
        }
        files
    };
    let (chains, keys) = (files("certfile"), files("keyfile"));
    if chains.len() != keys.len() && !chains.is_empty() && !keys.is_empty() {
        let why = format!("must name as many files as certfile, {} and not {}", chains.len(), keys.len());
        reader.invalid(&key("keyfile"), &why);
    }
    chains.into_iter().zip(keys).collect()
}

/// Words such as `clientAuth`, or `OID:` with an object identifier, as object identifiers.
fn ext_key_usage(reader: &mut Reader, key: &str) -> Vec<String> {
    let words = reader.list(key);
    let mut usages = Vec::new();
    for word in words.iter().filter(|word| *word != "undefined") {
        usages.push(match word.as_str() {
            "serverAuth" => "1.3.6.1.5.5.7.3.1".to_owned(),
            "clientAuth" => "1.3.6.1.5.5.7.3.2".to_owned(),
            "codeSigning" => "1.3.6.1.5.5.7.3.3".to_owned(),
            "emailProtection" => "1.3.6.1.5.5.7.3.4".to_owned(),
            "timeStamping" => "1.3.6.1.5.5.7.3.8".to_owned(),
            "ocspSigning" | "OCSPSigning" => "1.3.6.1.5.5.7.3.9".to_owned(),
            other => match other.strip_prefix("OID:") {
                Some(oid) if oid.contains('.') && oid.bytes().all(|b| b == b'.' || b.is_ascii_digit()) => {
                    oid.to_owned()
                }
                _ => {
                    let why = format!("\"{other}\" is no usage such as clientAuth, or OID:1.3.6.1.5.5.7.3.2");
                    reader.invalid(key, &why);
                    continue;
                }
            },
        });
    }
    usages
}

fn ws(reader: &mut Reader, key: &dyn Fn(&str) -> String) -> WebSocket {
    let allow_absence = reader.truth(&key("allow_origin_absence"));
    let allowed = reader.list(&key("check_origins"));
    let check = reader.truth(&key("check_origin_enable"));
    let max_frame: Option<u64> =
        reader.limit::<i64>(&key("max_frame_size")).and_then(|n| u64::try_from(n).ok());
    WebSocket {
        path: reader.string(&key("mqtt_path")),
        fail_if_no_subprotocol: reader.truth(&key("fail_if_no_subprotocol")),
        subprotocols: reader.list(&key("supported_subprotocols")),
        proxy_address_header: reader.string(&key("proxy_address_header")),
        proxy_port_header: reader.string(&key("proxy_port_header")),
        idle_timeout: reader.parsed(&key("idle_timeout"), value::duration),
        max_frame_size: max_frame,
        origins: check.then_some(Origins { allow_absence, allowed }),
    }
}

fn cert_part(reader: &mut Reader, key: &str) -> Option<CertPart> {
    match reader.text(key)?.as_str() {
        "dn" => Some(CertPart::DistinguishedName),
        "crt" => Some(CertPart::Der),
        "pem" => Some(CertPart::Pem),
        "md5" => Some(CertPart::Md5),
        _ => Some(CertPart::CommonName),
    }
}

/// `access.1 = allow 10.0.0.0/8`, in the order of the numbers.
fn access(reader: &mut Reader, base: &str) -> Vec<AccessRule> {
    let prefix = format!("{base}.access");
    let mut ids = reader.names_under(&prefix);
    ids.sort_by_key(|id| (id.parse::<u64>().unwrap_or(u64::MAX), id.clone()));
    let mut rules = Vec::new();
    for id in ids {
        let key = format!("{prefix}.{id}");
        let text = reader.string(&key);
        match rule(&text) {
            Some(rule) => rules.push(rule),
            None => reader
                .invalid(&key, "must be allow or deny, and all, an address or a network such as 10.0.0.0/8"),
        }
    }
    rules
}

fn rule(text: &str) -> Option<AccessRule> {
    let (verb, whom) = text.split_once([' ', '\t'])?;
    let allow = match verb {
        "allow" => true,
        "deny" => false,
        _ => return None,
    };
    let whom = whom.trim();
    if whom == "all" {
        return Some(AccessRule { allow, network: None });
    }
    let (ip, bits) = whom.split_once('/').map_or((whom, None), |(ip, bits)| (ip, Some(bits)));
    let ip: IpAddr = ip.parse().ok()?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(width), |bits| bits.parse::<u8>().ok()).filter(|bits| *bits <= width)?;
    Some(AccessRule { allow, network: Some((ip, bits)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_about_a_network() {
        let cases = [
            ("deny 10.0.0.0/8", "10.9.8.7", true),
            ("deny 10.0.0.0/8", "11.0.0.1", false),
            ("allow 10.0.0.1", "10.0.0.1", true),
            ("allow 10.0.0.1", "10.0.0.0", false),
            ("allow 0.0.0.0/0", "10.0.0.0", true),
            ("allow 0.0.0.0/0", "fd77::1", false),
            ("deny 10.0.0.0/8", "::ffff:10.9.8.7", true),
            ("deny fd77::/16", "fd77:1::9", true),
            ("deny fd77::/16", "fd78::", false),
            ("deny all", "fd78::", true),
        ];
        for (text, address, fits) in cases {
            let rule = rule(text).expect("a rule");
            assert_eq!(rule.fits(address.parse().expect("an address")), fits, "{text} {address}");
        }
    }
}
