// Package component holds the contracts between the engine and everything
// that can be plugged into it: builders, communicators, provisioners,
// post-processors and data sources, whether built in, a test double, or a
// process of its own. It holds promises and plain data and almost no logic;
// the promises are tested by componenttest, which every implementation runs.
//
// # The life of a build
//
// A Builder is given its configuration and plans a Job. The engine calls
// Prepare, Boot, connects, runs the provisioning steps and calls Capture. All
// calls for one build are made from one goroutine at a time, in that order,
// each at most once, and none after one has failed. There is no Cleanup:
// whatever outlives the process is acquired through the Recorder, and the
// engine, or a later reap, releases what was not kept, newest first.
//
// # Values that are not known yet
//
// Configuration arrives as a cty.Value of the schema's type. While a template
// is validated, parts of it may be unknown, because they depend on a machine
// that does not exist. Plan must accept unknown values, check what can be
// checked and have no side effect. It is called again with known values
// before anything runs.
package component
