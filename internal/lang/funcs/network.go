package funcs

import (
	"math/big"
	"net/netip"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

func networkFuncs() map[string]function.Function {
	prefix := text("prefix", "An IPv4 or IPv6 prefix in CIDR notation, such as 10.0.0.0/8; bits after its length do not matter.")
	return map[string]function.Function{
		"cidrhost": newFunc("Returns the address of one host within a prefix.", cty.String, cidrHost, prefix,
			number("hostnum", "The whole number of the host; a negative one counts from the end, with -1 as the last address.")),
		"cidrnetmask": newFunc("Returns the netmask of a prefix in address notation.", cty.String, cidrNetmask, prefix),
		"cidrsubnet": newFunc("Returns one subnet of a prefix.", cty.String, cidrSubnet, prefix,
			number("newbits", "How many bits longer the subnet's prefix is."),
			number("netnum", "The whole number of the subnet, which those bits must be able to hold.")),
		"cidrsubnets": cidrSubnetsFunc(prefix),
	}
}

func cidrHost(args []cty.Value) (cty.Value, error) {
	prefix, err := prefixArg(args[0])
	if err != nil {
		return cty.NilVal, err
	}
	host, err := wholeArg(args, 1)
	if err != nil {
		return cty.NilVal, err
	}
	size := power2(prefix.Addr().BitLen() - prefix.Bits())
	offset := new(big.Int).Set(host)
	if host.Sign() < 0 {
		offset.Add(offset, size)
	}
	if offset.Sign() < 0 || offset.Cmp(size) >= 0 {
		return cty.NilVal, function.NewArgErrorf(1, "prefix %s has no host number %s", prefix, host)
	}
	return cty.StringVal(addrPlus(prefix.Addr(), offset).String()), nil
}

func cidrNetmask(args []cty.Value) (cty.Value, error) {
	prefix, err := prefixArg(args[0])
	if err != nil {
		return cty.NilVal, err
	}
	width := prefix.Addr().BitLen()
	mask := new(big.Int).Sub(power2(width), power2(width-prefix.Bits()))
	return cty.StringVal(addrOf(mask, width).String()), nil
}

func cidrSubnet(args []cty.Value) (cty.Value, error) {
	prefix, err := prefixArg(args[0])
	if err != nil {
		return cty.NilVal, err
	}
	newBits, err := smallInt(args, 1)
	if err != nil {
		return cty.NilVal, err
	}
	num, err := wholeArg(args, 2)
	if err != nil {
		return cty.NilVal, err
	}
	width := prefix.Addr().BitLen()
	if free := width - prefix.Bits(); newBits < 0 || newBits > free {
		return cty.NilVal, function.NewArgErrorf(1, "prefix %s cannot be extended by %d bits; it has %d left", prefix, newBits, free)
	}
	if num.Sign() < 0 || num.Cmp(power2(newBits)) >= 0 {
		return cty.NilVal, function.NewArgErrorf(2, "%d bits cannot hold subnet number %s", newBits, num)
	}
	length := prefix.Bits() + newBits
	offset := new(big.Int).Lsh(num, uint(width-length))
	return cty.StringVal(netip.PrefixFrom(addrPlus(prefix.Addr(), offset), length).String()), nil
}

func cidrSubnetsFunc(prefix function.Parameter) function.Function {
	newBits := number("newbits", "For each subnet, how many bits longer its prefix is; at least 1.")
	return function.New(&function.Spec{
		Description:  "Returns consecutive subnets of a prefix, each of the size asked for and aligned to it.",
		Params:       []function.Parameter{prefix},
		VarParam:     &newBits,
		Type:         function.StaticReturnType(cty.List(cty.String)),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cidrSubnets(args)
		},
	})
}

func cidrSubnets(args []cty.Value) (cty.Value, error) {
	prefix, err := prefixArg(args[0])
	if err != nil {
		return cty.NilVal, err
	}
	if len(args) == 1 {
		return cty.ListValEmpty(cty.String), nil
	}
	width := prefix.Addr().BitLen()
	end := power2(width - prefix.Bits())
	next := new(big.Int) // offset of the first address not given out yet
	subnets := make([]cty.Value, 0, len(args)-1)
	for i := 1; i < len(args); i++ {
		newBits, err := smallInt(args, i)
		if err != nil {
			return cty.NilVal, err
		}
		if free := width - prefix.Bits(); newBits < 1 || newBits > free {
			return cty.NilVal, function.NewArgErrorf(i, "prefix %s cannot be extended by %d bits; 1 to %d are possible", prefix, newBits, free)
		}
		length := prefix.Bits() + newBits
		size := power2(width - length)
		start := roundUp(next, size)
		next = new(big.Int).Add(start, size)
		if next.Cmp(end) > 0 {
			return cty.NilVal, function.NewArgErrorf(i, "prefix %s has no room left for a /%d after %d subnets", prefix, length, i-1)
		}
		subnets = append(subnets, cty.StringVal(netip.PrefixFrom(addrPlus(prefix.Addr(), start), length).String()))
	}
	return cty.ListVal(subnets), nil
}

// prefixArg reads the first argument of a function as a prefix and clears the bits after its length.
func prefixArg(v cty.Value) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(v.AsString())
	if err != nil {
		return netip.Prefix{}, function.NewArgErrorf(0, "%q is not a prefix in CIDR notation, such as 10.0.0.0/8: %w", v.AsString(), err)
	}
	return prefix.Masked(), nil
}

// wholeArg is argument i as a whole number. The limit is far beyond every address and date, and keeps 1e999999999 from
// taking the memory that it asks for.
func wholeArg(args []cty.Value, i int) (*big.Int, error) {
	f := args[i].AsBigFloat()
	if !f.IsInt() {
		return nil, function.NewArgErrorf(i, "%s is not a whole number", f.Text('g', 20))
	}
	if f.MantExp(nil) > 1024 {
		return nil, function.NewArgErrorf(i, "%s is out of range", f.Text('g', 20))
	}
	n, _ := f.Int(nil)
	return n, nil
}

func power2(n int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(n)) }

// roundUp is the smallest multiple of size, a power of two, that is not less than n.
func roundUp(n, size *big.Int) *big.Int {
	last := new(big.Int).Sub(size, big.NewInt(1))
	sum := new(big.Int).Add(n, last)
	return sum.AndNot(sum, last)
}

// addrPlus is the address that many addresses after base; the caller has checked that it exists.
func addrPlus(base netip.Addr, offset *big.Int) netip.Addr {
	sum := new(big.Int).SetBytes(base.AsSlice())
	return addrOf(sum.Add(sum, offset), base.BitLen())
}

// addrOf is the address of the given width in bits whose bytes are the number n.
func addrOf(n *big.Int, width int) netip.Addr {
	addr, _ := netip.AddrFromSlice(n.FillBytes(make([]byte, width/8)))
	return addr
}
