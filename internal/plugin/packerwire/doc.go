// Package packerwire speaks the protocol between Packer and its plugins, as
// either side: a yamux session whose streams are found by number (Conn), calls in
// msgpack over one stream (Caller, Serve), and the services that are called:
// builders, provisioners, post-processors and data sources, and what they use of
// one another (Ui, Hook, Communicator, Artifact).
//
// It starts no process and knows no configuration: schemas and values are bytes
// here. docs/plugins.md describes the protocol.
//
// Whatever the other side sends, a message is limited in size, depth and number of
// values, so that a broken or hostile peer costs an error and not the memory of this
// process.
package packerwire
