// Package base finds the image that a build starts from, wherever it is, and
// keeps what is expensive to fetch, compress or unpack in a cache that is
// addressed by content.
package base
