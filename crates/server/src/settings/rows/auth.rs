//! Login by other services.

use crate::settings::table::{Row, settings};

/// `etc/plugins/emqx_auth_http.conf`.
pub(super) const AUTH_HTTP: &[Row] = settings! {
    /// The URL of the request.
    "auth.http.auth_req.url": Text ships "http://127.0.0.1:80/mqtt/auth" => Later("login and access rules by HTTP are not there yet");
    /// The HTTP method of the request.
    "auth.http.auth_req.method": OneOf["post", "get"] = "post" ships "post" => Later("login and access rules by HTTP are not there yet");
    /// A header of the request.
    "auth.http.auth_req.headers.$field": Text ships "auth.http.auth_req.headers.content_type = application/x-www-form-urlencoded" => Later("login and access rules by HTTP are not there yet");
    /// The parameters of the request; `%u`, `%c`, `%P`, `%a`, `%t`, `%A` and `%m` stand for what is known of the client.
    "auth.http.auth_req.params": Text ships "clientid=%c,username=%u,password=%P" => Later("login and access rules by HTTP are not there yet");
    /// The URL of the request.
    "auth.http.super_req.url": Text => Later("login and access rules by HTTP are not there yet");
    /// The HTTP method of the request.
    "auth.http.super_req.method": OneOf["post", "get"] = "post" => Later("login and access rules by HTTP are not there yet");
    /// A header of the request.
    "auth.http.super_req.headers.$field": Text => Later("login and access rules by HTTP are not there yet");
    /// The parameters of the request; `%u`, `%c`, `%P`, `%a`, `%t`, `%A` and `%m` stand for what is known of the client.
    "auth.http.super_req.params": Text => Later("login and access rules by HTTP are not there yet");
    /// The URL of the request.
    "auth.http.acl_req.url": Text ships "http://127.0.0.1:80/mqtt/acl" => Later("login and access rules by HTTP are not there yet");
    /// The HTTP method of the request.
    "auth.http.acl_req.method": OneOf["post", "get"] = "post" ships "post" => Later("login and access rules by HTTP are not there yet");
    /// A header of the request.
    "auth.http.acl_req.headers.$field": Text ships "auth.http.acl_req.headers.content-type = application/x-www-form-urlencoded" => Later("login and access rules by HTTP are not there yet");
    /// The parameters of the request; `%u`, `%c`, `%P`, `%a`, `%t`, `%A` and `%m` stand for what is known of the client.
    "auth.http.acl_req.params": Text ships "access=%A,username=%u,clientid=%c,ipaddr=%a,topic=%t,mountpoint=%m" => Later("login and access rules by HTTP are not there yet");
    /// How long an answer may take.
    "auth.http.timeout": IntegerOrDuration = "5s" ships "5s" => Later("login and access rules by HTTP are not there yet");
    /// How long a connection may take.
    "auth.http.connect_timeout": IntegerOrDuration = "5s" ships "5s" => Later("login and access rules by HTTP are not there yet");
    /// How many connections are kept open.
    "auth.http.pool_size": Integer = "8" ships "32" => Later("login and access rules by HTTP are not there yet");
    /// How many requests may wait for an answer on one connection.
    "auth.http.enable_pipelining": Text = "100" ships "100" => Later("login and access rules by HTTP are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.http.ssl.cacertfile": Text => Later("login and access rules by HTTP are not there yet");
    /// The file of the certificate and its chain.
    "auth.http.ssl.certfile": Text => Later("login and access rules by HTTP are not there yet");
    /// The file of the private key.
    "auth.http.ssl.keyfile": Text => Later("login and access rules by HTTP are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "auth.http.ssl.verify": OneOf["true", "false"] = "false" => Later("login and access rules by HTTP are not there yet");
    /// The name that the server's certificate must have; `disable` skips that.
    "auth.http.ssl.server_name_indication": Text => Later("login and access rules by HTTP are not there yet");
};

/// `etc/plugins/emqx_auth_jwt.conf`.
pub(super) const AUTH_JWT: &[Row] = settings! {
    /// The secret of tokens that are signed with HMAC.
    "auth.jwt.secret": Text ships "emqxsecret" => Later("login and access rules by JWT are not there yet");
    /// The URL of the key set that verifies tokens.
    "auth.jwt.jwks": Text => Later("login and access rules by JWT are not there yet");
    /// How often the key set is fetched again.
    "auth.jwt.jwks.refresh_interval": Duration => Later("login and access rules by JWT are not there yet");
    /// Where the token is: in the password or in the user name.
    "auth.jwt.from": Atom = "password" ships "password" => Later("login and access rules by JWT are not there yet");
    /// The public key that verifies tokens.
    "auth.jwt.pubkey": Text => Later("login and access rules by JWT are not there yet");
    /// The form of ECDSA signatures.
    "auth.jwt.signature_format": OneOf["raw", "der"] = "der" => Later("login and access rules by JWT are not there yet");
    /// Whether the claims below are checked.
    "auth.jwt.verify_claims": Flag = "off" ships "off" => Later("login and access rules by JWT are not there yet");
    /// The value that a claim must have; `%u` and `%c` stand for user name and client id.
    "auth.jwt.verify_claims.$name": Text => Later("login and access rules by JWT are not there yet");
    /// The claim that holds the access rules.
    "auth.jwt.acl_claim_name": Text = "acl" => Later("login and access rules by JWT are not there yet");
};

/// `etc/plugins/emqx_auth_ldap.conf`.
pub(super) const AUTH_LDAP: &[Row] = settings! {
    /// The LDAP servers, separated by commas.
    "auth.ldap.servers": Text = "127.0.0.1" ships "127.0.0.1" => Later("login and access rules by LDAP are not there yet");
    /// The port of the LDAP servers.
    "auth.ldap.port": Integer = "389" ships "389" => Later("login and access rules by LDAP are not there yet");
    /// How many connections are kept open.
    "auth.ldap.pool": Integer = "8" ships "8" => Later("login and access rules by LDAP are not there yet");
    /// The name with which the node logs in to LDAP.
    "auth.ldap.bind_dn": Text = "cn=root,dc=emqx,dc=io" ships "cn=root,dc=emqx,dc=io" => Later("login and access rules by LDAP are not there yet");
    /// The password with which the node logs in to LDAP.
    "auth.ldap.bind_password": Text = "public" ships "public" => Later("login and access rules by LDAP are not there yet");
    /// How long an answer may take.
    "auth.ldap.timeout": Duration = "30s" ships "30s" => Later("login and access rules by LDAP are not there yet");
    /// Whether LDAP is spoken over TLS.
    "auth.ldap.ssl": OneOf["true", "false"] = "false" ships "false" => Later("login and access rules by LDAP are not there yet");
    /// The file of the certificate and its chain.
    "auth.ldap.ssl.certfile": Text => Later("login and access rules by LDAP are not there yet");
    /// The file of the private key.
    "auth.ldap.ssl.keyfile": Text => Later("login and access rules by LDAP are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.ldap.ssl.cacertfile": Text => Later("login and access rules by LDAP are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "auth.ldap.ssl.verify": OneOf["verify_none", "verify_peer"] = "verify_none" => Later("login and access rules by LDAP are not there yet");
    /// The name that the server's certificate must have; `disable` skips that.
    "auth.ldap.ssl.server_name_indication": Text => Later("login and access rules by LDAP are not there yet");
    /// Where the entries of clients are.
    "auth.ldap.device_dn": Text = "ou=device,dc=emqx,dc=io" ships "ou=device,dc=emqx,dc=io" => Later("login and access rules by LDAP are not there yet");
    /// The object class of those entries.
    "auth.ldap.match_objectclass": Text = "mqttUser" ships "mqttUser" => Later("login and access rules by LDAP are not there yet");
    /// The name of a client's entry, built from these variables.
    "auth.ldap.custom_base_dn": Text = "${username_attr}=${user},${device_dn}" => Later("login and access rules by LDAP are not there yet");
    /// The attribute of a filter.
    "auth.ldap.filters.$num.key": Text => Later("login and access rules by LDAP are not there yet");
    /// The value of a filter.
    "auth.ldap.filters.$num.value": Text => Later("login and access rules by LDAP are not there yet");
    /// How a filter is combined with the next.
    "auth.ldap.filters.$num.op": OneOf["or", "and"] => Later("login and access rules by LDAP are not there yet");
    /// Whether the client's own name and password are tried on LDAP.
    "auth.ldap.bind_as_user": OneOf["true", "false"] = "false" => Later("login and access rules by LDAP are not there yet");
    /// The attribute that holds the user name.
    "auth.ldap.username.attributetype": Text = "uid" ships "uid" => Later("login and access rules by LDAP are not there yet");
    /// The attribute that holds the password.
    "auth.ldap.password.attributetype": Text = "userPassword" ships "userPassword" => Later("login and access rules by LDAP are not there yet");
};

/// `etc/plugins/emqx_auth_mnesia.conf`.
pub(super) const AUTH_MNESIA: &[Row] = settings! {
    /// How passwords of the built-in users are hashed.
    "auth.mnesia.password_hash": OneOf["plain", "md5", "sha", "sha256", "sha512"] = "sha256" ships "sha256" => NoEffect("passwords are kept by argon2id; hashes of EMQ X 4.4 are taken by emqx_ctl users import");
    /// The client id of a built-in user, who is made when the node starts if there is none of that name.
    "auth.client.$id.clientid": Text;
    /// The password that belongs to that client id.
    "auth.client.$id.password": Text;
    /// The name of a built-in user, who is made when the node starts if there is none of that name.
    "auth.user.$id.username": Text;
    /// The password that belongs to that name.
    "auth.user.$id.password": Text;
};

/// `etc/plugins/emqx_auth_mongo.conf`.
pub(super) const AUTH_MONGO: &[Row] = settings! {
    /// The kind of MongoDB deployment.
    "auth.mongo.type": OneOf["single", "unknown", "sharded", "rs"] = "single" ships "single" => Later("login and access rules by MongoDB are not there yet");
    /// Whether the servers are taken from an SRV record.
    "auth.mongo.srv_record": OneOf["true", "false"] = "false" ships "false" => Later("login and access rules by MongoDB are not there yet");
    /// The name of the replica set.
    "auth.mongo.rs_set_name": Text => Later("login and access rules by MongoDB are not there yet");
    /// The address of the server, or several separated by commas.
    "auth.mongo.server": Text = "127.0.0.1:27017" ships "127.0.0.1:27017" => Later("login and access rules by MongoDB are not there yet");
    /// How many connections are kept open.
    "auth.mongo.pool": Integer = "8" ships "8" => Later("login and access rules by MongoDB are not there yet");
    /// The user name for MongoDB.
    "auth.mongo.login": Text => Later("login and access rules by MongoDB are not there yet");
    /// The user name.
    "auth.mongo.username": Text => Later("login and access rules by MongoDB are not there yet");
    /// The password.
    "auth.mongo.password": Text => Later("login and access rules by MongoDB are not there yet");
    /// The database.
    "auth.mongo.database": Text = "mqtt" ships "mqtt" => Later("login and access rules by MongoDB are not there yet");
    /// The database that holds the users of MongoDB.
    "auth.mongo.auth_source": Text => Later("login and access rules by MongoDB are not there yet");
    /// Whether TLS is spoken with the server.
    "auth.mongo.ssl": OneOf["on", "off", "true", "false"] = "off" => Later("login and access rules by MongoDB are not there yet");
    /// The file of the private key.
    "auth.mongo.ssl.keyfile": Text => Later("login and access rules by MongoDB are not there yet");
    /// The file of the certificate and its chain.
    "auth.mongo.ssl.certfile": Text => Later("login and access rules by MongoDB are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.mongo.ssl.cacertfile": Text => Later("login and access rules by MongoDB are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "auth.mongo.ssl.verify": OneOf["true", "false"] = "false" => Later("login and access rules by MongoDB are not there yet");
    /// The name that the server's certificate must have; `disable` skips that.
    "auth.mongo.ssl.server_name_indication": Text => Later("login and access rules by MongoDB are not there yet");
    /// The file of the private key.
    "auth.mongo.ssl_opts.keyfile": Text => Later("login and access rules by MongoDB are not there yet");
    /// The file of the certificate and its chain.
    "auth.mongo.ssl_opts.certfile": Text => Later("login and access rules by MongoDB are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.mongo.ssl_opts.cacertfile": Text => Later("login and access rules by MongoDB are not there yet");
    /// How safely writes are made.
    "auth.mongo.w_mode": OneOf["safe", "unsafe", "undef"] = "undef" => Later("login and access rules by MongoDB are not there yet");
    /// Which member of a replica set is read.
    "auth.mongo.r_mode": OneOf["master", "slave_ok", "undef"] = "undef" => Later("login and access rules by MongoDB are not there yet");
    /// An option of the MongoDB driver.
    "auth.mongo.topology.$name": Integer ships "auth.mongo.topology.pool_size = 1" "auth.mongo.topology.max_overflow = 0" => Later("login and access rules by MongoDB are not there yet");
    /// How long a query may take.
    "auth.mongo.query_timeout": Text => Later("login and access rules by MongoDB are not there yet");
    /// The collection.
    "auth.mongo.auth_query.collection": Text = "mqtt_user" ships "mqtt_user" => Later("login and access rules by MongoDB are not there yet");
    /// The field of the password.
    "auth.mongo.auth_query.password_field": Text = "password" ships "password" => Later("login and access rules by MongoDB are not there yet");
    /// How passwords are hashed, with a salt before or after, as `salt,sha256`.
    "auth.mongo.auth_query.password_hash": Text ships "sha256" => Later("login and access rules by MongoDB are not there yet");
    /// What selects the entry of a client.
    "auth.mongo.auth_query.selector": Text ships "username=%u" => Later("login and access rules by MongoDB are not there yet");
    /// Whether super users are asked for.
    "auth.mongo.super_query": Flag = "off" => Later("login and access rules by MongoDB are not there yet");
    /// The collection.
    "auth.mongo.super_query.collection": Text = "mqtt_user" ships "mqtt_user" => Later("login and access rules by MongoDB are not there yet");
    /// The field that marks super users.
    "auth.mongo.super_query.super_field": Text = "is_superuser" ships "is_superuser" => Later("login and access rules by MongoDB are not there yet");
    /// What selects the entry of a client.
    "auth.mongo.super_query.selector": Text ships "username=%u" => Later("login and access rules by MongoDB are not there yet");
    /// Whether access rules are asked for.
    "auth.mongo.acl_query": Flag = "off" => Later("login and access rules by MongoDB are not there yet");
    /// The collection.
    "auth.mongo.acl_query.collection": Text = "mqtt_user" ships "mqtt_acl" => Later("login and access rules by MongoDB are not there yet");
    /// What selects the entry of a client.
    "auth.mongo.acl_query.selector": Text ships "username=%u" => Later("login and access rules by MongoDB are not there yet");
    /// A further selector of access rules.
    "auth.mongo.acl_query.selector.$id": Text => Later("login and access rules by MongoDB are not there yet");
};

/// `etc/plugins/emqx_auth_mysql.conf`.
pub(super) const AUTH_MYSQL: &[Row] = settings! {
    /// The address of the server, or several separated by commas.
    "auth.mysql.server": Server = "127.0.0.1:3306" ships "127.0.0.1:3306" => Later("login and access rules by MySQL are not there yet");
    /// How many connections are kept open.
    "auth.mysql.pool": Integer = "8" ships "8" => Later("login and access rules by MySQL are not there yet");
    /// The user name.
    "auth.mysql.username": Text => Later("login and access rules by MySQL are not there yet");
    /// The password.
    "auth.mysql.password": Text => Later("login and access rules by MySQL are not there yet");
    /// The database.
    "auth.mysql.database": Text = "mqtt" ships "mqtt" => Later("login and access rules by MySQL are not there yet");
    /// How long a query may take.
    "auth.mysql.query_timeout": Text => Later("login and access rules by MySQL are not there yet");
    /// Whether TLS is spoken with the server.
    "auth.mysql.ssl": Flag = "off" => Later("login and access rules by MySQL are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.mysql.ssl.cafile": Text => Later("login and access rules by MySQL are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.mysql.ssl.cacertfile": Text => Later("login and access rules by MySQL are not there yet");
    /// The file of the certificate and its chain.
    "auth.mysql.ssl.certfile": Text => Later("login and access rules by MySQL are not there yet");
    /// The file of the private key.
    "auth.mysql.ssl.keyfile": Text => Later("login and access rules by MySQL are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "auth.mysql.ssl.verify": OneOf["true", "false"] = "false" => Later("login and access rules by MySQL are not there yet");
    /// The name that the server's certificate must have; `disable` skips that.
    "auth.mysql.ssl.server_name_indication": Text => Later("login and access rules by MySQL are not there yet");
    /// The query that yields a client's password.
    "auth.mysql.auth_query": Text ships "select password from mqtt_user where username = '%u' limit 1" => Later("login and access rules by MySQL are not there yet");
    /// How passwords are hashed, with a salt before or after, as `salt,sha256`.
    "auth.mysql.password_hash": Text ships "sha256" => Later("login and access rules by MySQL are not there yet");
    /// The query that yields whether a client is a super user.
    "auth.mysql.super_query": Text ships "select is_superuser from mqtt_user where username = '%u' limit 1" => Later("login and access rules by MySQL are not there yet");
    /// The query that yields a client's access rules.
    "auth.mysql.acl_query": Text ships "select allow, ipaddr, username, clientid, access, topic from mqtt_acl where ipaddr = '%a' or username = '%u' or username = '$all' or clientid = '%c'" => Later("login and access rules by MySQL are not there yet");
};

/// `etc/plugins/emqx_auth_pgsql.conf`.
pub(super) const AUTH_PGSQL: &[Row] = settings! {
    /// The address of the server, or several separated by commas.
    "auth.pgsql.server": Server = "127.0.0.1:5432" ships "127.0.0.1:5432" => Later("login and access rules by PostgreSQL are not there yet");
    /// How many connections are kept open.
    "auth.pgsql.pool": Integer = "8" ships "8" => Later("login and access rules by PostgreSQL are not there yet");
    /// The database.
    "auth.pgsql.database": Text ships "mqtt" => Later("login and access rules by PostgreSQL are not there yet");
    /// The user name.
    "auth.pgsql.username": Text ships "root" => Later("login and access rules by PostgreSQL are not there yet");
    /// The password.
    "auth.pgsql.password": Text => Later("login and access rules by PostgreSQL are not there yet");
    /// The encoding of texts.
    "auth.pgsql.encoding": Atom = "utf8" ships "utf8" => Later("login and access rules by PostgreSQL are not there yet");
    /// Whether TLS is spoken with the server.
    "auth.pgsql.ssl": OneOf["on", "off", "true", "false"] = "off" ships "off" => Later("login and access rules by PostgreSQL are not there yet");
    /// The versions of TLS that are spoken, separated by commas.
    "auth.pgsql.ssl.tls_versions": Text = "tlsv1.3,tlsv1.2,tlsv1.1" => Later("login and access rules by PostgreSQL are not there yet");
    /// The file of the private key.
    "auth.pgsql.ssl.keyfile": Text => Later("login and access rules by PostgreSQL are not there yet");
    /// The file of the certificate and its chain.
    "auth.pgsql.ssl.certfile": Text => Later("login and access rules by PostgreSQL are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.pgsql.ssl.cacertfile": Text => Later("login and access rules by PostgreSQL are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "auth.pgsql.ssl.verify": OneOf["true", "false"] = "false" => Later("login and access rules by PostgreSQL are not there yet");
    /// The name that the server's certificate must have; `disable` skips that.
    "auth.pgsql.ssl.server_name_indication": Text => Later("login and access rules by PostgreSQL are not there yet");
    /// The file of the private key.
    "auth.pgsql.ssl_opts.keyfile": Text => Later("login and access rules by PostgreSQL are not there yet");
    /// The file of the certificate and its chain.
    "auth.pgsql.ssl_opts.certfile": Text => Later("login and access rules by PostgreSQL are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.pgsql.ssl_opts.cacertfile": Text => Later("login and access rules by PostgreSQL are not there yet");
    /// The versions of TLS that are spoken, separated by commas.
    "auth.pgsql.ssl_opts.tls_versions": Text = "tlsv1.2" => Later("login and access rules by PostgreSQL are not there yet");
    /// The query that yields a client's password.
    "auth.pgsql.auth_query": Text ships "select password from mqtt_user where username = '%u' limit 1" => Later("login and access rules by PostgreSQL are not there yet");
    /// How passwords are hashed, with a salt before or after, as `salt,sha256`.
    "auth.pgsql.password_hash": Text ships "sha256" => Later("login and access rules by PostgreSQL are not there yet");
    /// The hash of PBKDF2.
    "auth.pgsql.pbkdf2_macfun": Atom => Later("login and access rules by PostgreSQL are not there yet");
    /// The rounds of PBKDF2.
    "auth.pgsql.pbkdf2_iterations": Integer => Later("login and access rules by PostgreSQL are not there yet");
    /// The length of the key that PBKDF2 makes.
    "auth.pgsql.pbkdf2_dklen": Integer => Later("login and access rules by PostgreSQL are not there yet");
    /// The query that yields whether a client is a super user.
    "auth.pgsql.super_query": Text ships "select is_superuser from mqtt_user where username = '%u' limit 1" => Later("login and access rules by PostgreSQL are not there yet");
    /// The query that yields a client's access rules.
    "auth.pgsql.acl_query": Text ships "select allow, ipaddr, username, clientid, access, topic from mqtt_acl where ipaddr = '%a' or username = '%u' or username = '$all' or clientid = '%c'" => Later("login and access rules by PostgreSQL are not there yet");
};

/// `etc/plugins/emqx_auth_redis.conf`.
pub(super) const AUTH_REDIS: &[Row] = settings! {
    /// The kind of Redis deployment.
    "auth.redis.type": OneOf["single", "sentinel", "cluster"] = "single" ships "single" => Later("login and access rules by Redis are not there yet");
    /// The address of the server, or several separated by commas.
    "auth.redis.server": Text = "127.0.0.1:6379" ships "127.0.0.1:6379" => Later("login and access rules by Redis are not there yet");
    /// The name of the group that the sentinels watch.
    "auth.redis.sentinel": Text => Later("login and access rules by Redis are not there yet");
    /// How many connections are kept open.
    "auth.redis.pool": Integer = "8" ships "8" => Later("login and access rules by Redis are not there yet");
    /// The database.
    "auth.redis.database": Integer = "0" ships "0" => Later("login and access rules by Redis are not there yet");
    /// The password.
    "auth.redis.password": Text => Later("login and access rules by Redis are not there yet");
    /// Whether TLS is spoken with the server.
    "auth.redis.ssl": Flag = "off" => Later("login and access rules by Redis are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.redis.ssl.cacertfile": Text => Later("login and access rules by Redis are not there yet");
    /// The file of the certificate and its chain.
    "auth.redis.ssl.certfile": Text => Later("login and access rules by Redis are not there yet");
    /// The file of the private key.
    "auth.redis.ssl.keyfile": Text => Later("login and access rules by Redis are not there yet");
    /// Whether the certificate of the other side is verified: verify_peer or verify_none.
    "auth.redis.ssl.verify": OneOf["true", "false"] = "false" => Later("login and access rules by Redis are not there yet");
    /// The name that the server's certificate must have; `disable` skips that.
    "auth.redis.ssl.server_name_indication": Text => Later("login and access rules by Redis are not there yet");
    /// The file of the authorities that may sign the other side's certificate.
    "auth.redis.cafile": Text => Later("login and access rules by Redis are not there yet");
    /// The file of the certificate and its chain.
    "auth.redis.certfile": Text => Later("login and access rules by Redis are not there yet");
    /// The file of the private key.
    "auth.redis.keyfile": Text => Later("login and access rules by Redis are not there yet");
    /// How long a query may take.
    "auth.redis.query_timeout": Text => Later("login and access rules by Redis are not there yet");
    /// The command that yields a client's password.
    "auth.redis.auth_cmd": Text ships "HMGET mqtt_user:%u password" => Later("login and access rules by Redis are not there yet");
    /// How passwords are hashed, with a salt before or after, as `salt,sha256`.
    "auth.redis.password_hash": Text ships "plain" => Later("login and access rules by Redis are not there yet");
    /// The command that yields whether a client is a super user.
    "auth.redis.super_cmd": Text ships "HGET mqtt_user:%u is_superuser" => Later("login and access rules by Redis are not there yet");
    /// The command that yields a client's access rules.
    "auth.redis.acl_cmd": Text ships "HGETALL mqtt_acl:%u" => Later("login and access rules by Redis are not there yet");
};
