// Package compat runs the compatibility corpus in testdata/compat: templates
// written from the description of what Packer 1.16 does, with what they have
// to come to here.
//
// A case is one txtar file. Above its files stand lines of these forms:
//
//	# TEXT         which sentence of the description it is about
//	-FLAG [VALUE]  a flag for the commands; all after the first blank is one value
//	path PATH      what to load, "." when not given
//	stdin FILE     what the command reads from standard input
//	chomp FILE     writes FILE without its last newline
//	env KEY=VALUE  a setting of the environment
//	exit CODE      the exit code of plan, 0 when not given
//	build [CODE]   run build as well, with its exit code, 0 when not given
//	want TEXT      a text that the plan or its diagnostics have to contain
//	never TEXT     a text that no output may contain
//	prints TEXT    a line that build has to print
//	row NAME       the diagnostic class that the case proves
//
// The files plan.json, diagnostics.txt, build.txt and build-errors.txt are golden:
// -update rewrites them. What is below made/ is what build has to write, and is, like
// want, never and prints, written by hand: -update does not touch it.
package compat
