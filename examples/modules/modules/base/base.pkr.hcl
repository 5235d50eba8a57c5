# A module: variables to set, a source and provisioners to use, a value to read.

variable "title" {
  type        = string
  description = "First line of the image."
}

variable "target" {
  type        = string
  description = "Where to write the image."
}

variable "checks" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Commands that have to succeed."
}

locals {
  # path.root is the folder of the module.
  text = templatefile("${path.root}/image.tpl", { title = var.title })
}

source "file" "image" {
  target  = var.target
  content = local.text
}

provisioners "checks" {
  dynamic "provisioner" {
    for_each = var.checks
    labels   = ["shell-local"]
    content {
      name   = "check ${provisioner.key}"
      inline = [provisioner.value]
    }
  }

  provisioner "shell-local" {
    name   = "sum up"
    inline = ["echo ${length(var.checks)} checks were fine"]
  }
}

output "summary" {
  value       = "${var.title}, ${length(local.text)} characters"
  description = "What the image is, in a few words."
}
