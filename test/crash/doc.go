// Package crash kills the program while it builds, at every step that its
// journal records and at moments between them, and checks that `ingot reap`
// then removes what the run had made and nothing else.
//
// It has no code of its own but tests; they need Linux, and the engines of
// package live for what is built there.
package crash
