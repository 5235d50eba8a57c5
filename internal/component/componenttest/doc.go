// Package componenttest holds one suite per contract of package component.
// Every implementation runs the suite of what it implements, and so does its
// test double; for every check there is a double with one defect that the
// check must find.
package componenttest
