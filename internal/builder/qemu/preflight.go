package qemu

import (
	"context"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/qemuimg"
)

// Preflight implements component.Preflighter.
func (j *job) Preflight(_ context.Context, r component.Run) diag.List { return j.plan.preflight(r) }

// preflight finds what is missing on this computer, or in the way, before anything
// is downloaded.
func (p *plan) preflight(r component.Run) diag.List {
	var out diag.List
	fail := func(attribute, summary string, err error) {
		if err != nil {
			out = append(out, diag.At(attribute, summary, "%s.", err)...)
		}
	}
	_, err := findBinary(p.QemuBinary)
	fail("qemu_binary", "QEMU is missing", err)
	if _, err := qemuimg.Find(); err != nil {
		out = append(out, diag.Errorf("A program is missing", "%s.", err)...)
	}
	if p.VTPM {
		_, err := findTPM()
		fail("vtpm", "A program is missing", err)
	}
	if p.EFIBoot {
		_, err := p.chooseFlash()
		fail("efi_boot", "No EFI firmware", err)
	}
	o, err := p.findOutput(r)
	if err == nil {
		err = o.vacant(r.Force)
	}
	fail("output_directory", "The output folder cannot be used", err)
	return out
}
