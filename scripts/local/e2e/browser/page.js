// The smallest page that uploads with Uppy. window.page is how the test looks at it.
import { stowage } from './stowage-uppy.js'
import { AwsS3, Uppy } from './uppy.js'

const { api, workspace, token } = await (await fetch('config.json')).json()
const page = { parts: [], pauseAfter: 0, result: null, uppy: new Uppy() }

page.uppy.use(AwsS3, stowage(page.uppy, { api, workspace, token: () => token, describe: (file) => ({ path: `browser/${file.name}` }) }))
page.uppy.on('s3-multipart:part-uploaded', (_, part) => {
  page.parts.push(part.PartNumber)
  if (page.parts.length === page.pauseAfter) page.uppy.pauseAll()
})
// An upload's result is what it ends with: Uppy says 'error' on the way too, of files that turn out to be stored.
async function upload(file) {
  page.uppy.addFile({ name: file.name, type: file.type, data: file })
  try {
    const { successful, failed } = await page.uppy.upload()
    page.result = { objects: successful.map((file) => file.meta.objectId), errors: failed.map((file) => file.error) }
  } catch (error) {
    page.result = { objects: [], errors: [String(error)] }
  }
}
document.querySelector('#file').addEventListener('change', (event) => upload(event.target.files[0]))
window.page = page
