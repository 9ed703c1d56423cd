// Command hcl says what the Go libraries that SPIRE uses make of a text, so that a test can compare
// (crates/config/tests/oracle.rs).
//
// Each line on standard input is a request {"kind": "hcl" | "duration" | "expand", "input": base64}; each line on
// standard output is the answer {"error": text} or {"value": …}.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/hcl/hcl/ast"
	"github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"
)

type request struct {
	Kind  string `json:"kind"`
	Input []byte `json:"input"`
}

type answer struct {
	Error string `json:"error,omitempty"`
	Value any    `json:"value,omitempty"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var r request
		if err := json.Unmarshal(in.Bytes(), &r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(reply(r)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := in.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// reply recovers because the parser and the tokens' Value panic on some malformed literals.
func reply(r request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{Error: fmt.Sprint("panic: ", p)}
		}
	}()
	switch r.Kind {
	case "hcl":
		file, err := parser.ParseDontErrorOnDuplicateKeys(r.Input)
		if err != nil {
			return answer{Error: err.Error()}
		}
		return answer{Value: items(file.Node.(*ast.ObjectList))}
	case "duration":
		d, err := time.ParseDuration(string(r.Input))
		if err != nil {
			return answer{Error: err.Error()}
		}
		return answer{Value: []any{fmt.Sprint(int64(d)), d.String()}}
	case "expand":
		return answer{Value: os.Expand(string(r.Input), func(name string) string {
			if name == "$" {
				return "$"
			}
			return "<" + name + ">"
		})}
	}
	return answer{Error: "unknown kind " + r.Kind}
}

// items is a list of [key, value]; labels become nested objects.
func items(list *ast.ObjectList) []any {
	all := []any{}
	for _, item := range list.Items {
		v := value(item.Val)
		for i := len(item.Keys) - 1; i > 0; i-- {
			v = map[string]any{"object": []any{[]any{text(item.Keys[i].Token), v}}}
		}
		all = append(all, []any{text(item.Keys[0].Token), v})
	}
	return all
}

func value(node ast.Node) any {
	switch n := node.(type) {
	case *ast.ObjectType:
		return map[string]any{"object": items(n.List)}
	case *ast.ListType:
		list := []any{}
		for _, element := range n.List {
			list = append(list, value(element))
		}
		return map[string]any{"list": list}
	case *ast.LiteralType:
		switch n.Token.Type {
		case token.BOOL:
			return map[string]any{"bool": n.Token.Text == "true"}
		case token.NUMBER, token.FLOAT:
			number(n.Token)
			return map[string]any{"number": n.Token.Text}
		default:
			return map[string]any{"text": text(n.Token)}
		}
	}
	panic(fmt.Sprintf("no value for %T", node))
}

// number panics, as a decoder would, when the digits are no number at all; too many of them are fine.
func number(t token.Token) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !isRange(err) {
				panic(p)
			}
		}
	}()
	t.Value()
}

func text(t token.Token) string {
	s := fmt.Sprint(t.Value())
	if !utf8.ValidString(s) {
		panic("not UTF-8")
	}
	return s
}

func isRange(err error) bool {
	var e *strconv.NumError
	return errors.As(err, &e) && errors.Is(e.Err, strconv.ErrRange)
}
