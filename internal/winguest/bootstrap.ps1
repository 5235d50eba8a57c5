$texts = @((-join @($input)).Split('.') | ForEach-Object { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($_)) })
$rest = [string[]] @($texts | Select-Object -Skip 1)
& ([scriptblock]::Create($texts[0])) $rest
