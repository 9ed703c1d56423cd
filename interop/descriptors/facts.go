package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// facts says of each full name, such as that of a field, everything that shows on the wire.
type facts map[string]string

func decode(encoded []byte) (facts, error) {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(encoded, set); err != nil {
		return nil, fmt.Errorf("not a FileDescriptorSet: %w", err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, err
	}
	return collect(files), nil
}

// published is what the modules imported by modules.go registered.
func published() facts {
	return collect(protoregistry.GlobalFiles)
}

func collect(files *protoregistry.Files) facts {
	found := facts{}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if wantedPackage(string(file.Package()), file.Path()) != skip {
			found.messages(file.Messages())
			found.enums(file.Enums())
			found.services(file.Services())
		}
		return true
	})
	return found
}

func (f facts) messages(messages protoreflect.MessageDescriptors) {
	for i := range messages.Len() {
		message := messages.Get(i)
		if message.IsMapEntry() {
			continue // told by the field that is the map
		}
		f[string(message.FullName())] = "message"
		for j := range message.Fields().Len() {
			field := message.Fields().Get(j)
			f[string(field.FullName())] = fieldFact(field)
		}
		f.messages(message.Messages())
		f.enums(message.Enums())
	}
}

func fieldFact(field protoreflect.FieldDescriptor) string {
	fact := fmt.Sprintf("field %d %s %s", field.Number(), field.Cardinality(), typeName(field))
	if field.IsMap() {
		fact = fmt.Sprintf("field %d map %s %s", field.Number(), typeName(field.MapKey()), typeName(field.MapValue()))
	}
	if oneof := field.ContainingOneof(); oneof != nil && !oneof.IsSynthetic() {
		fact += " oneof " + string(oneof.Name())
	}
	if field.HasPresence() {
		fact += " presence"
	}
	return fact
}

func typeName(field protoreflect.FieldDescriptor) string {
	switch {
	case field.Message() != nil:
		return string(field.Message().FullName())
	case field.Enum() != nil:
		return string(field.Enum().FullName())
	default:
		return field.Kind().String()
	}
}

func (f facts) enums(enums protoreflect.EnumDescriptors) {
	for i := range enums.Len() {
		enum := enums.Get(i)
		values := make([]string, enum.Values().Len())
		for j := range values {
			value := enum.Values().Get(j)
			values[j] = fmt.Sprintf("%s=%d", value.Name(), value.Number())
		}
		f[string(enum.FullName())] = "enum " + strings.Join(values, " ")
	}
}

func (f facts) services(services protoreflect.ServiceDescriptors) {
	for i := range services.Len() {
		service := services.Get(i)
		f[string(service.FullName())] = "service"
		for j := range service.Methods().Len() {
			method := service.Methods().Get(j)
			f[string(method.FullName())] = fmt.Sprintf("method %s -> %s", half(method.Input(), method.IsStreamingClient()),
				half(method.Output(), method.IsStreamingServer()))
		}
	}
}

func half(message protoreflect.MessageDescriptor, streaming bool) string {
	if streaming {
		return "stream " + string(message.FullName())
	}
	return string(message.FullName())
}
