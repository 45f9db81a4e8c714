//! The help texts.

/// `iptv --help`.
pub const OVERVIEW: &str = "\
Television without a broadcaster: every viewer may pass the picture on to others.

Without a command a demonstration plays in this terminal: a bootstrap node, the source of a
channel and some viewers, each a full node with its own sockets on 127.0.0.1. You see the tree of
viewers grow, a relaying viewer is killed, and you see the tree mend itself.

  cargo run --release --example iptv -- [COMMAND] [OPTIONS]

Commands (each has its own --help):
  demo         the demonstration (what plays without a command)
  bootstrap    a node that others join the overlay through
  source       publishes a channel
  watch        watches a channel, and relays it when it is elected to
  peer         publishes and watches several channels on one uplink
  channel      tells who offers a channel
  ca           makes keys and certificates for an overlay with an authority
  overlay      makes and shows the document that every node of an overlay has

Options of the demonstration:
  --viewers N          how many viewers (6)
  --capacity N         how many children each node can serve (2)
  --kills N            how many relayers are killed, one after the other (1)
  --profile NAME       'default', or 'paper': what the 2010 paper says, its slow repair included
  --mode NAME          who elects relayers: 'managed', the source in the whole tree, or 'delegated',
                       every relayer among its own children
  --figure16 DIR       draw the source's traffic, server-based against P2P, into DIR (CSV and SVG)
  --pcap FILE          record every packet, with the keys to read them (pcapng, for Wireshark)
  --json FILE          write what happened to FILE
  --dtls               links of the overlay over DTLS instead of TLS; --pcap has no keys for these
  --insecure           secure nothing, for comparison
  --help               this text

Links and SIP go over TLS, every message and record is signed. Each node makes a key for itself and
is known by it; whose channel it is says the channel's owner, whose fingerprint the source prints.
The variable SSLKEYLOGFILE names a file for the keys, as in other programs. A recording has its keys
inside; this reads all of it:
  wireshark -X lua_script:examples/wireshark.lua FILE

Three terminals show the same with separate processes:
  iptv bootstrap --listen 127.0.0.1:6084
  iptv source --bootstrap 127.0.0.1:6084 --channel 100
  iptv watch --bootstrap 127.0.0.1:6084 --channel 100 --output - | ffplay -
";

/// `iptv bootstrap --help`.
pub const BOOTSTRAP: &str = "\
A node that others join the overlay through. It prints its address; it neither watches nor
publishes.

  iptv bootstrap [OPTIONS]

Options:
  --listen IP:PORT     address of the overlay (127.0.0.1:6084)
  --sip IP:PORT        address of SIP, UDP and TCP (the same IP, any port)
  --media IP:PORT      address of RTP (the same IP, any port)
  --name NAME          its name in SIP addresses (bootstrap)
  --profile NAME       'default' or 'paper'
  --mode NAME          who elects relayers, as the source says: itself ('managed'), or every relayer
                       among its own children ('delegated', for large crowds)
  --config FILE        the overlay's configuration document ('iptv overlay' makes one)
  --identity FILE.pem  this node's certificate, FILE.key beside it ('iptv ca' makes both); without
                       one the node makes a key for itself
  --insecure-sip       let plain SIP agents in, which prove nothing, beside the nodes of the overlay
  --insecure           secure nothing: plain links, believed names; all nodes of an overlay alike
  --help               this text

Ctrl-C leaves the overlay properly.
";

/// `iptv source --help`.
pub const SOURCE: &str = "\
Publishes a channel: stores its name in the overlay, sends the picture to its first viewers, and
elects viewers that pass it on when there are more.

  iptv source --bootstrap IP:PORT --channel NAME [OPTIONS]

Options:
  --bootstrap IP:PORT  a node of the overlay, may be repeated; without it those of --config
  --channel NAME       the channel's name, for example 100
  --keyword NAME       a further name to find it under; may be repeated
  --input WHAT         an MPEG transport stream: a file (played again and again), rtp://IP:PORT (RTP
                       packets sent to that address), or - for a pipe (the test card)
  --owner-key FILE     the key of the channel's owner, made there if there is none (a key for this
                       run); the fingerprint that is printed stays the same with the same key;
                       where an authority vouches for owners, FILE.key beside NAME.pem of every name
  --standby            watch the channel, and take it over when its source is gone; with an input of
                       its own, and the source's --owner-key
  --capacity N         how many children this node serves itself (2)
  --uplink BITRATE     instead: as many as fit into this uplink, for example 20M
  --listen IP:PORT     address of the overlay (an address of this machine, any port)
  --sip IP:PORT        address of SIP, UDP and TCP (the same IP, any port)
  --media IP:PORT      address of RTP (the same IP, any port)
  --name NAME          its name in SIP addresses (source)
  --profile NAME       'default' or 'paper'
  --mode NAME          who elects relayers, as the source says: itself ('managed'), or every relayer
                       among its own children ('delegated', for large crowds)
  --config FILE        the overlay's configuration document ('iptv overlay' makes one)
  --identity FILE.pem  this node's certificate, FILE.key beside it ('iptv ca' makes both); without
                       one the node makes a key for itself
  --insecure-sip       let plain SIP agents in, which prove nothing, beside the nodes of the overlay
  --insecure           secure nothing: plain links, believed names; all nodes of an overlay alike
  --help               this text

A live encoder:
  ffmpeg -re -i FILE -c copy -f mpegts - | iptv source --bootstrap IP:PORT --channel 100 --input -

Ctrl-C ends the channel and tells every viewer.
";

/// `iptv watch --help`.
pub const WATCH: &str = "\
Watches a channel. When it is elected, this node passes the picture on to other viewers.

  iptv watch --bootstrap IP:PORT --channel NAME [OPTIONS]

Options:
  --bootstrap IP:PORT  a node of the overlay, may be repeated; without it those of --config
  --channel NAME       the channel's name or one of its keywords
  --output WHAT        where the MPEG transport stream goes: a file, rtp://IP:PORT, or - for a pipe;
                       it begins where a decoder can begin (without it: relay only)
  --owner FINGERPRINT  take the channel from this owner only, whose source prints the fingerprint
                       (without it: from whoever is found first)
  --tree-first         look for a relayer in the channel's ReDiR tree before asking for its name:
                       for audiences too large for the peer that has the name; needs --owner
  --capacity N         how many children this node can serve (2)
  --uplink BITRATE     instead: as many as fit into this uplink, for example 20M
  --listen IP:PORT     address of the overlay (an address of this machine, any port)
  --sip IP:PORT        address of SIP, UDP and TCP (the same IP, any port)
  --media IP:PORT      address of RTP (the same IP, any port)
  --name NAME          its name in SIP addresses (made from its port)
  --profile NAME       'default' or 'paper'
  --mode NAME          who elects relayers, as the source says: itself ('managed'), or every relayer
                       among its own children ('delegated', for large crowds)
  --config FILE        the overlay's configuration document ('iptv overlay' makes one)
  --identity FILE.pem  this node's certificate, FILE.key beside it ('iptv ca' makes both); without
                       one the node makes a key for itself
  --insecure-sip       let plain SIP agents in, which prove nothing, beside the nodes of the overlay
  --insecure           secure nothing: plain links, believed names; all nodes of an overlay alike
  --help               this text

On the screen:
  iptv watch --bootstrap IP:PORT --channel 100 --output - | ffplay -

Ctrl-C leaves the channel; the children of this node are told to find another parent.
";

/// `iptv peer --help`.
pub const PEER: &str = "\
Publishes and watches several channels in one process. They share its uplink, and it relays those
that it watches when it is elected to.

  iptv peer --bootstrap IP:PORT [--publish NAME[=INPUT]]... [--watch NAME[=OUTPUT]]... [OPTIONS]

Options:
  --bootstrap IP:PORT  a node of the overlay, may be repeated; without it those of --config
  --publish NAME=INPUT a channel to publish; INPUT as in 'iptv source' (without it: the test card)
  --watch NAME=OUTPUT  a channel to watch; OUTPUT as in 'iptv watch' (without it: relay only)
  --owner-key FILE     the key of whoever owns the channels that it publishes, as in 'iptv source'
  --capacity N         how many children this node can serve, all channels together (2)
  --uplink BITRATE     instead: as many as fit into this uplink, for example 20M
  --listen IP:PORT     address of the overlay (an address of this machine, any port)
  --sip IP:PORT        address of SIP, UDP and TCP (the same IP, any port)
  --media IP:PORT      address of RTP (the same IP, any port)
  --name NAME          its name in SIP addresses (made from its port)
  --profile NAME       'default' or 'paper'
  --mode NAME          who elects relayers, as the source says: itself ('managed'), or every relayer
                       among its own children ('delegated', for large crowds)
  --config FILE        the overlay's configuration document ('iptv overlay' makes one)
  --identity FILE.pem  this node's certificate, FILE.key beside it ('iptv ca' makes both); without
                       one the node makes a key for itself
  --insecure-sip       let plain SIP agents in, which prove nothing, beside the nodes of the overlay
  --insecure           secure nothing: plain links, believed names; all nodes of an overlay alike
  --help               this text
";

/// `iptv channel --help`.
pub const CHANNEL: &str = "\
Tells who offers a channel, with their depth in the tree and their free slots.

  iptv channel NAME --bootstrap IP:PORT [OPTIONS]

Options:
  --bootstrap IP:PORT  a node of the overlay, may be repeated; without it those of --config
  --listen IP:PORT     address of the overlay (an address of this machine, any port)
  --sip IP:PORT        address of SIP, UDP and TCP (the same IP, any port)
  --media IP:PORT      address of RTP (the same IP, any port)
  --name NAME          its name in SIP addresses (made from its port)
  --profile NAME       'default' or 'paper'
  --mode NAME          who elects relayers, as the source says: itself ('managed'), or every relayer
                       among its own children ('delegated', for large crowds)
  --config FILE        the overlay's configuration document ('iptv overlay' makes one)
  --identity FILE.pem  this node's certificate, FILE.key beside it ('iptv ca' makes both); without
                       one the node makes a key for itself
  --insecure-sip       let plain SIP agents in, which prove nothing, beside the nodes of the overlay
  --insecure           secure nothing: plain links, believed names; all nodes of an overlay alike
  --help               this text

";

/// `iptv ca --help`.
pub const CA: &str = "\
The authority of an overlay: makes keys and certificates, as files in a directory. Whoever holds its
root.key can be anybody in the overlay; keep it on a machine that does nothing else.

  iptv ca new DIR --overlay NAME [--days N]
  iptv ca node DIR --name NAME [--node-ids N] [--rsa] [--days N]
  iptv ca channel DIR --channel NAME [--keyword NAME]... [--days N]

'new' makes DIR/root.key and DIR/root.pem; every node needs root.pem. 'node' makes DIR/NAME.key and
DIR/NAME.pem for one node. 'channel' makes the same for whoever owns a channel, and for each of its
keywords, with one key. Every name exists once in an overlay.

Options:
  --overlay NAME       the overlay's name, for example tv.example
  --name NAME          the user's name; alice becomes alice@tv.example
  --node-ids N         how many Node-IDs the certificate has (1)
  --rsa                an RSA key of 2048 bits instead of ECDSA P-256; it cannot be used with DTLS
  --channel NAME       the channel's name, for example 100
  --keyword NAME       a further name of the channel; may be repeated
  --days N             how long the certificates are valid (3650 for the authority, else 365)
  --help               this text
";

/// `iptv overlay --help`.
pub const OVERLAY: &str = "\
The configuration document of an overlay (RFC 6940 section 11): whom its nodes trust, where they
join, what they store. Every node has the same one.

  iptv overlay new NAME --out FILE [OPTIONS]     makes a document, and shows it
  iptv overlay show FILE [--follows CURRENT]     shows one, and says what is wrong with it

Options:
  --out FILE           the file to write, by custom with the ending .relo
  --follows FILE       the current document: the new one takes over what is not given, and its
                       number is one higher; 'show' says whether the nodes would take it
  --root-cert PEM      an authority that vouches for nodes; may be repeated
  --self-signed DIGEST nodes make their own certificates; 'sha256' or 'sha1'
  --bootstrap IP:PORT  a node to join through; may be repeated
  --signer PEM         who signs it, and may sign the next one; the key is beside it, in the file
                       with the ending .key; may be repeated
  --next-signer PEM    from now on these sign instead; the present ones have to sign this once more
  --bad-node NODE-ID   shuts a node out; may be repeated
  --max-message-size N bytes of a message (5000, or as many as this document needs)
  --plain              links without encryption, on which nobody proves who he is
  --dtls               links over DTLS instead of TLS, for nodes with ECDSA keys
  --help               this text

A new overlay, and later a node that is shut out:
  iptv overlay new tv.example --root-cert root.pem --signer admin.pem --out 0.relo
  iptv overlay new tv.example --follows 0.relo --signer admin.pem --bad-node ID --out 1.relo
";
