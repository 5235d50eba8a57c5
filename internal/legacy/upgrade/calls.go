package upgrade

import (
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// converter returns the function that converts calls of the named template
// function, nil when HCL has nothing that does the same.
func converter(name string) callConverter {
	switch name {
	case "user":
		return user
	case "env":
		return environment
	case "build":
		return fact
	case "build_name":
		return buildName
	case "build_type":
		return buildType
	case "template_dir":
		return fixed("abspath(path.root)")
	case "pwd":
		return fixed("path.cwd")
	case "packer_version":
		return fixed("packer.version")
	case "uuid":
		return fixed("uuidv4()")
	case "timestamp":
		return timestamp
	case "isotime":
		return isotime
	case "strftime":
		return texts("legacy_strftime", 1, 0)
	case "upper":
		return texts("upper", 1, 0)
	case "lower":
		return texts("lower", 1, 0)
	case "replace":
		return replace
	case "replace_all":
		return texts("replace", 3, 2, 0, 1)
	case "split":
		return split
	case "vault":
		return stored(texts("vault", 2, 0, 1))
	case "consul_key":
		return stored(texts("consul_key", 1, 0))
	case "aws_secretsmanager":
		return stored(secret)
	case "aws_secretsmanager_raw":
		return stored(texts("aws_secretsmanager_raw", 1, 0))
	case "eq", "ne":
		return compare(map[string]string{"eq": " == ", "ne": " != "}[name])
	case "and", "or":
		return combine(map[string]string{"and": " && ", "or": " || "}[name])
	case "not":
		return not
	}
	return nil
}

// fixed converts a function without arguments.
func fixed(code string) callConverter {
	return func(_ *upgrader, args []expr, _ place) (expr, bool) {
		return expr{code: code}, len(args) == 0
	}
}

// texts converts a function of n strings to one of HCL that has them in
// another order: order lists the arguments by their old places.
func texts(name string, n int, order ...int) callConverter {
	return func(_ *upgrader, args []expr, _ place) (expr, bool) {
		if len(args) != n {
			return none()
		}
		codes := make([]string, len(order))
		for i, from := range order {
			if args[from].kind == boolKind {
				return none()
			}
			codes[i] = args[from].code
		}
		return expr{code: name + "(" + strings.Join(codes, ", ") + ")"}, true
	}
}

func user(u *upgrader, args []expr, _ place) (expr, bool) {
	if len(args) != 1 || !args[0].isText {
		return none()
	}
	return expr{code: u.variable(args[0].text).reference()}, true
}

// environment is env, which HCL has only in the default of a variable.
func environment(u *upgrader, args []expr, at place) (expr, bool) {
	if len(args) != 1 || !args[0].isText {
		return none()
	}
	switch at.in {
	case inDefault:
		return expr{code: "env(" + args[0].code + ")"}, true
	case inLocal:
		return expr{code: "var." + u.environmentVariable(args[0].text)}, true
	}
	return none()
}

// fact is build, which has the values of the machine.
func fact(_ *upgrader, args []expr, at place) (expr, bool) {
	if len(args) != 1 || !hclsyntax.ValidIdentifier(args[0].text) || at.in != inStep {
		return none()
	}
	if at.usesFacts != nil {
		*at.usesFacts = true
	}
	return expr{code: "build." + args[0].text}, true
}

func buildName(_ *upgrader, args []expr, at place) (expr, bool) {
	switch {
	case len(args) > 0:
	case at.builder != nil && !at.builder.computedName:
		return textExpr(at.builder.Name), true
	case at.in == inStep && at.builder == nil:
		return expr{code: "source.name"}, true
	}
	return none()
}

func buildType(_ *upgrader, args []expr, at place) (expr, bool) {
	switch {
	case len(args) > 0:
	case at.builder != nil:
		return textExpr(at.builder.Type), true
	case at.in == inStep:
		return expr{code: "source.type"}, true
	}
	return none()
}

func timestamp(u *upgrader, args []expr, _ place) (expr, bool) {
	if len(args) > 0 {
		return none()
	}
	u.usesTimestamp = true
	return expr{code: "local." + u.timestampName, kind: numberKind}, true
}

func isotime(u *upgrader, args []expr, at place) (expr, bool) {
	if len(args) == 0 {
		return expr{code: "legacy_isotime()"}, true
	}
	return texts("legacy_isotime", 1, 0)(u, args, at)
}

// replace has a limit in Go, which HCL has not.
func replace(u *upgrader, args []expr, at place) (expr, bool) {
	if len(args) != 4 || args[2].kind != numberKind || !strings.HasPrefix(args[2].code, "-") {
		return none()
	}
	return texts("replace", 3, 2, 0, 1)(u, []expr{args[0], args[1], args[3]}, at)
}

func split(_ *upgrader, args []expr, _ place) (expr, bool) {
	if len(args) != 3 || args[2].kind != numberKind || strings.HasPrefix(args[2].code, "-") || args[1].isText && args[1].text == "" {
		return none()
	}
	return expr{code: "split(" + args[1].code + ", " + args[0].code + ")[" + args[2].code + "]"}, true
}

// stored restricts a function to variables, as legacy templates do.
func stored(f callConverter) callConverter {
	return func(u *upgrader, args []expr, at place) (expr, bool) {
		if at.in != inDefault && at.in != inLocal {
			return none()
		}
		return f(u, args, at)
	}
}

func secret(u *upgrader, args []expr, at place) (expr, bool) {
	if len(args) == 1 {
		args = append(args, expr{code: "null"})
	}
	return texts("aws_secretsmanager", 2, 0, 1)(u, args, at)
}

// compare converts eq and ne of two values.
func compare(operator string) callConverter {
	return func(_ *upgrader, args []expr, _ place) (expr, bool) {
		if len(args) != 2 || args[0].kind != args[1].kind {
			return none()
		}
		return expr{code: args[0].operand() + operator + args[1].operand(), kind: boolKind, loose: true}, true
	}
}

// combine converts and and or of conditions.
func combine(operator string) callConverter {
	return func(_ *upgrader, args []expr, _ place) (expr, bool) {
		var codes []string
		for _, a := range args {
			if a.kind != boolKind {
				return none()
			}
			codes = append(codes, a.operand())
		}
		return expr{code: strings.Join(codes, operator), kind: boolKind, loose: true}, len(codes) > 1
	}
}

func not(_ *upgrader, args []expr, _ place) (expr, bool) {
	if len(args) != 1 {
		return none()
	}
	e, ok := truth(args[0])
	return expr{code: "!" + e.operand(), kind: boolKind, loose: true}, ok
}
