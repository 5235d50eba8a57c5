variable "x" {
  type    = string
  default = "y"
}

variable "text" {
  type    = string
  default = "one\ntwo\n"
}

source "file" "file" {
  target  = "out"
  content = <<EOT
line $${one}
	line \ "two"
  ${var.x}
EOT
}

build {
  sources = ["source.file.file"]

  provisioner "shell-local" {
    inline = ["echo a\necho b\n", "echo c\necho d", "echo EOT\n\n"]
  }

  provisioner "shell-local" {
    inline          = ["true"]
    execute_command = ["sh", "-c", "{{.Vars}} {{.Script}}"]
  }

  post-processor "shell-local" {
    command = "echo a\necho EOT\n"
  }
}

