variable "list" {
  type    = string
  default = "a,b"
}

variable "k" {
  type    = string
  default = "v\"\\ü"
}

source "file" "file" {
  target  = "out"
  content = "{{$x := ${jsonencode(var.k)}}}{{$x}}-{{len $x}}{{range $i := 2}}{{${jsonencode(var.list)}}}{{end}}"
}

source "null" "null" {
  communicator = "none"
}

build {
  sources = ["source.file.file", "source.null.null"]

  provisioner "shell-local" {
    inline = [
      "echo {{with ${jsonencode(var.k)}}}{{.}}{{end}} {{printf `%s-%s` (${jsonencode(var.list)}) build_name}} {{${jsonencode(var.list)} | printf `%q`}}",
    ]
  }

  provisioner "shell" {
    only            = ["null.null"]
    inline          = ["true"]
    execute_command = "{{.Vars}} {{if .Path}}sh{{end}} {{.Path}} ${var.list}"
  }
}

