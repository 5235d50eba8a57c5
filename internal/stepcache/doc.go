// Package stepcache keeps what builds have made of a machine after each of their
// provisioners, so that a later build starts from there.
//
// A chain of keys says what a machine is: the first key is that of the machine
// before its first provisioner, and each provisioner makes the next one of the
// last and of all that its result depends on. A store holds a checkpoint by its
// key. The package knows no builder: what a checkpoint consists of is theirs.
package stepcache

// Format is the version of the keys and of the entries. It is part of each key,
// so that nothing is used that another version has made in another way.
const Format = 1
