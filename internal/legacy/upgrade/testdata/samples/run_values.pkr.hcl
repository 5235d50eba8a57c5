locals {
  timestamp = rfc3339_parse(legacy_isotime()).unix
}

source "file" "file" {
  target  = "${abspath(path.root)}/out-${legacy_isotime("20060102")}"
  content = "${local.timestamp} ${legacy_isotime()} ${legacy_strftime("%F")} ${path.cwd} ${packer.version}"
}

build {
  sources = ["source.file.file"]

  provisioner "shell-local" {
    environment_vars = ["RUN=${uuidv4()}", "AT=${local.timestamp}"]
    inline           = ["cat ${abspath(path.root)}/out"]
  }
}

